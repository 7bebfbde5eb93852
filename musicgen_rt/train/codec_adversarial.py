"""Tunes the decoder of a trained codec against a discriminator: `musicgen-rt train decoder`.

Encoder and codebooks stay as they are, so the codes that a language model was trained on stay
valid. What the waveform terms cannot ask for, because no code carries the phase of the highs, the
discriminator does. The run folder holds a whole codec: it is evaluated and exported like any other.
"""

from __future__ import annotations

import copy
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from musicgen_rt.errors import MusicgenRTError
from musicgen_rt.model.musicgen import choose_device
from musicgen_rt.train import checkpointing
from musicgen_rt.train.checkpointing import STATE_FILE, RunState
from musicgen_rt.train.codec_adversarial_config import DecoderTrainConfig
from musicgen_rt.train.codec_balancer import GradientBalancer
from musicgen_rt.train.codec_coded_pool import CodedBatch, CodedPool
from musicgen_rt.train.codec_discriminator import (
    Discriminator,
    Judgement,
    discriminator_loss,
    feature_distance,
    hinge_loss,
)
from musicgen_rt.train.codec_loss import CodecLoss
from musicgen_rt.train.codec_model import CodecModel
from musicgen_rt.train.codec_optim import (
    learning_rate_part,
    make_optimizers,
    set_learning_rates,
)
from musicgen_rt.train.codec_pool import ClipSource, music_source
from musicgen_rt.train.codec_probe import DecoderProbe, SiSdrGuard
from musicgen_rt.train.codec_saved import load_codec
from musicgen_rt.train.config import config_table
from musicgen_rt.train.run_loop import Pace, StopRequest, run_to_the_end, write_figures
from musicgen_rt.train.running_average import RunningAverage

# May differ between the parts of a run: where it runs and how often it is looked at.
_FREE_KEYS = ("device", "threads", "save_seconds", "report_steps")
_CLIP_NORM = 1.0


class DecoderTrainer:
    """The moving parts of a run; `step` counts finished steps. [one thread]"""

    def __init__(self, config: DecoderTrainConfig, codec: CodecModel, source: ClipSource) -> None:
        """`codec` is what is tuned; only its decoder changes.

        Raises ParameterError for a device that is not there.
        """
        torch.manual_seed(config.seed)
        shape = codec.shape
        self.config, self.step = config, 0
        self.device = choose_device(config.device)
        self.model = codec.eval().requires_grad_(False).to(self.device)
        self.model.decoder.requires_grad_(True)
        self.average = RunningAverage(self._decoder(), config.optim.average_decay)
        self.loss = CodecLoss(config.loss, shape.sample_rate_hz, shape.hop_samples).to(self.device)
        # What a frame sounds like depends on as many frames on each side.
        self._context_frames = shape.kernel_samples // 2 + 1
        first_seed = config.seed * 1_000_000
        self.pool = CodedPool(config.pool, source, codec, self._context_frames, first_seed)
        samples = self.pool.segment_frames * shape.hop_samples
        opponent = Discriminator(config.discriminator, shape.sample_rate_hz, samples)
        self.discriminator = opponent.to(self.device)
        self.balancer = GradientBalancer()
        self.optimizers = make_optimizers(codec.decoder, config.optim)
        self.opponent = torch.optim.AdamW(
            self.discriminator.parameters(),
            lr=config.discriminator.learning_rate,
            betas=(config.discriminator.beta1, config.discriminator.beta2),
            weight_decay=0.0,
        )
        # Seeds below the first one are never drawn from.
        seeds = range(first_seed - config.probe_clips, first_seed)
        self.probe = DecoderProbe([self.pool.coded(seed) for seed in seeds])
        self.guard = SiSdrGuard(config.adversarial.si_sdr_allowance_db)

    def run_step(self) -> dict[str, float]:
        """Trains on one batch and returns its figures."""
        config = self.config
        self._set_learning_rates()
        batch = self.pool.batch(self.step, config.batch_rows).to(self.device)
        decoded = self._synthesise(batch)
        # The losses' graph ends here: their gradients are balanced before they go on.
        output = decoded.detach().requires_grad_()
        terms = self.loss(output, batch.audio, self.step, 1.0)
        reconstruction = sum(terms.values(), torch.zeros(()))
        weights = config.adversarial.weights(self.step / config.steps, self.guard.strength)
        against = self._oppose(output, batch.audio, any(weights.values()))
        row = {name: float(term.detach()) for name, term in {**terms, **against}.items()}
        self._require_finite(row)
        knowledge = against.pop("discriminator", None)
        if knowledge is not None:
            self._learn_to_discriminate(knowledge)
        gradient = self.balancer.gradient(reconstruction, against, weights, output)
        self._descend(decoded, gradient)
        self._step_opponent(knowledge is not None)
        self.step += 1
        if self.step % config.probe_steps == 0:
            row |= self.look()
        return row

    def look(self) -> dict[str, float]:
        """How the probe's clips sound with the averaged weights; the guard is told."""
        averaged = copy.deepcopy(self.model)
        averaged.decoder.load_state_dict(self.average.tensors)
        figures = self.probe.figures(lambda codes: averaged.decode(codes.to(self.device)).cpu())
        if figures:
            self.guard.follow(figures["probe_si_sdr_db"])
            figures["strength"] = self.guard.strength
        return figures

    def state(self) -> RunState:
        """What a resumed run needs: the whole codec, not only what is tuned."""
        model = self.model.state_dict()
        # Copies: a tensor may not be stored under two names.
        averaged = {name: tensor.clone() for name, tensor in model.items()}
        averaged |= checkpointing.prefixed("decoder", self.average.tensors)
        tensors = checkpointing.prefixed("model", model)
        tensors |= checkpointing.prefixed("average", averaged)
        tensors |= checkpointing.prefixed("discriminator", self.discriminator.state_dict())
        values: dict[str, Any] = {
            "step": self.step,
            "balancer": self.balancer.sums,
            "guard": asdict(self.guard),
            "optimizers": {},
        }
        for name, optimizer in self._all_optimizers().items():
            packed = checkpointing.pack_optimizer(optimizer)
            tensors |= checkpointing.prefixed(f"optimizer.{name}", packed.tensors)
            values["optimizers"][name] = packed.values
        return RunState(tensors, values)

    def restore(self, state: RunState) -> None:
        """Goes back to where `state` was taken."""
        self.model.load_state_dict(state.group("model"))
        for name, tensor in self.average.tensors.items():
            tensor.copy_(state.tensors[f"average.decoder.{name}"])
        self.discriminator.load_state_dict(state.group("discriminator"))
        for name, optimizer in self._all_optimizers().items():
            packed = RunState(state.group(f"optimizer.{name}"), state.values["optimizers"][name])
            checkpointing.unpack_optimizer(optimizer, packed)
        sums = state.values["balancer"]
        self.balancer.sums = {name: (norms, ones) for name, (norms, ones) in sums.items()}
        self.guard = SiSdrGuard(**state.values["guard"])
        self.step = state.values["step"]

    def _decoder(self) -> dict[str, Tensor]:
        return dict(self.model.decoder.named_parameters())

    def _all_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {**self.optimizers, "discriminator": self.opponent}

    def _set_learning_rates(self) -> None:
        config = self.config
        part = learning_rate_part(self.step, config.steps, config.optim)
        set_learning_rates(self.optimizers, config.optim, part)
        for group in self.opponent.param_groups:
            group["lr"] = part * config.discriminator.learning_rate

    def _synthesise(self, batch: CodedBatch) -> Tensor:
        """The decoded audio [B, 1, T · hop] of a batch, without its context."""
        latents = self.model.quantizer.decode(batch.codes)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.bfloat16):
            audio = self.model.synthesise(latents)
        edge = self._context_frames * self.model.shape.hop_samples
        return audio[..., edge:-edge].float()

    def _oppose(self, output: Tensor, original: Tensor, is_fooled: bool) -> dict[str, Tensor]:
        """The terms of the contest: "discriminator" when it learns, the decoder's if it does."""
        config = self.config
        learns = self.step % config.discriminator.every_steps == 0
        if not config.adversarial.is_on or not (learns or is_fooled):
            return {}
        meant, made = self.discriminator.hear(original, output)
        with torch.set_grad_enabled(learns):
            about_original = self._judge(meant)
        about_output = self._judge(made)
        terms = {}
        if learns:
            terms["discriminator"] = discriminator_loss(about_original, about_output)
        if is_fooled:
            terms["hinge"] = hinge_loss(about_output)
            terms["features"] = feature_distance(about_original.detached(), about_output)
        return terms

    def _judge(self, heard: Tensor) -> Judgement:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.bfloat16):
            return self.discriminator(heard)

    def _learn_to_discriminate(self, loss: Tensor) -> None:
        """Sets the discriminator's gradients; it steps when the decoder's are known too."""
        parameters = list(self.discriminator.parameters())
        gradients = torch.autograd.grad(loss, parameters, retain_graph=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient

    def _step_opponent(self, has_learned: bool) -> None:
        if has_learned:
            torch.nn.utils.clip_grad_norm_(self.discriminator.parameters(), _CLIP_NORM)
            self.opponent.step()

    def _descend(self, decoded: Tensor, gradient: Tensor) -> None:
        """One step of the decoder along the gradient at the decoded audio."""
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(decoded, gradient)
        parameters = list(self._decoder().values())
        torch.nn.utils.clip_grad_norm_(parameters, _CLIP_NORM)
        for optimizer in self.optimizers.values():
            optimizer.step()
        self.average.follow(parameters, self.step)

    def _require_finite(self, row: dict[str, float]) -> None:
        for name, value in row.items():
            if not math.isfinite(value):
                raise MusicgenRTError(
                    f"the term {name} of step {self.step} is {value}: no weight was changed; the "
                    "saved state is whole, so start a run with a lower learning rate"
                )


def train_decoder(config: DecoderTrainConfig, source: ClipSource | None = None) -> None:
    """Tunes until the last step or a stop signal; goes on where the run folder stands.

    `source` makes the clip of a seed and defaults to the music generator. A run that has a state
    does not read `start` again. Raises CheckpointError if `start` is not the run of a codec.
    """
    torch.set_num_threads(config.threads)
    folder = Path(config.run_folder)
    is_resumed = (folder / STATE_FILE).exists()
    codec = load_codec(folder if is_resumed else Path(config.start))
    table = config_table(config) | {"shape": asdict(codec.shape)}
    saved = checkpointing.open_run(folder, table, _FREE_KEYS)
    rate_hz = codec.shape.sample_rate_hz
    source = source or music_source(config.pool.clip_seconds, rate_hz)
    trainer = DecoderTrainer(config, codec.model(), source)
    if saved is not None:
        trainer.restore(saved)
        print(f"resumed {folder} at step {trainer.step}", flush=True)
    else:
        write_figures(folder, 0, config.steps, trainer.look())
    pace = Pace(config.steps, config.report_steps, config.save_seconds)
    with StopRequest() as stop:
        run_to_the_end(trainer, folder, pace, lambda: stop.asked)
