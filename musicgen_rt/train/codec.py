"""Trains a codec: `python -m musicgen_rt.train.codec --config FILE`.

The run goes through three parts: an autoencoder without codes, k-means of its latents as
codebooks, then training through the quantizer. It is resumed by naming the same folder.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from musicgen_rt.errors import MusicgenRTError
from musicgen_rt.model.musicgen import choose_device
from musicgen_rt.train import checkpointing
from musicgen_rt.train.checkpointing import RunState
from musicgen_rt.train.codec_loss import CodecLoss, CodecLossConfig, latent_scale
from musicgen_rt.train.codec_model import CodecModel, CodecShape
from musicgen_rt.train.codec_optim import (
    CodecOptimConfig,
    learning_rate_part,
    make_optimizers,
    set_learning_rates,
)
from musicgen_rt.train.codec_pool import ClipPool, ClipSource, PoolConfig, music_source
from musicgen_rt.train.codec_quantizer import perplexities
from musicgen_rt.train.config import config_table, read_config, require_range
from musicgen_rt.train.run_loop import Pace, StopRequest, run_to_the_end

# May differ between the parts of a run: where it runs and how often it is looked at.
_FREE_KEYS = ("device", "threads", "save_seconds", "report_steps")
# Segments that k-means sees when the codebooks start, in batches.
_KMEANS_BATCHES = 16
_DEAD_CODE_STEPS = 10
_CLIP_NORM = 1.0


@dataclass(frozen=True)
class CodecTrainConfig:
    """A whole run.

    The codebooks come in at the first of `code_starts`; at each, k-means sets them anew.
    `codebook_decay` is what a step leaves of their moving averages: the faster the encoder
    learns, the less it may be, or the codes trail behind and fall out of use. `device` is auto,
    cpu, cuda, cuda:N or mps.
    """

    run_folder: str
    steps: int
    seed: int = 1
    batch_rows: int = 16
    code_starts: tuple[int, ...] = (160,)
    codebook_decay: float = 0.95
    bfloat16: bool = True
    device: str = "cpu"
    threads: int = 2
    save_seconds: float = 120.0
    report_steps: int = 20
    shape: CodecShape = field(default_factory=CodecShape)
    loss: CodecLossConfig = field(default_factory=CodecLossConfig)
    optim: CodecOptimConfig = field(default_factory=CodecOptimConfig)
    pool: PoolConfig = field(default_factory=PoolConfig)

    def __post_init__(self) -> None:
        require_range("steps", self.steps, 1, 100_000_000)
        require_range("seed", self.seed, 0, 999)
        require_range("batch_rows", self.batch_rows, 1, 4096)
        require_range("number of code_starts", len(self.code_starts), 1, 1000)
        for start in self.code_starts:
            require_range("code_starts", start, 0, self.steps)
        require_range("codebook_decay", self.codebook_decay, 0.0, 0.9999)
        require_range("threads", self.threads, 1, 256)
        require_range("save_seconds", self.save_seconds, 0.0, 1e9)
        require_range("report_steps", self.report_steps, 1, 1_000_000)


class CodecTrainer:
    """The moving parts of a run; `step` counts finished steps. [one thread]"""

    def __init__(self, config: CodecTrainConfig, source: ClipSource) -> None:
        """Raises ParameterError for a device that is not there."""
        torch.manual_seed(config.seed)
        shape = config.shape
        self.config = config
        self.step = 0
        self.device = choose_device(config.device)
        self.model = CodecModel(shape, config.codebook_decay).to(self.device)
        self.loss = CodecLoss(config.loss, shape.sample_rate_hz, shape.hop_samples).to(self.device)
        self.optimizers = make_optimizers(self.model, config.optim)
        self.average = {name: t.detach().clone() for name, t in self.model.state_dict().items()}
        frames = round(config.pool.segment_seconds * shape.frame_rate_hz)
        # Seeds of one run never meet another's: the run's seed sets the millions.
        self.pool = ClipPool(
            config.pool, source, frames * shape.hop_samples, first_seed=config.seed * 1_000_000
        )

    def run_step(self) -> dict[str, Any]:
        """Trains on one batch and returns the terms of the loss."""
        config = self.config
        if self.step in config.code_starts:
            self._start_codes()
        part = learning_rate_part(self.step, config.steps, config.optim)
        set_learning_rates(self.optimizers, config.optim, part)
        audio = self.pool.batch(self.step, config.batch_rows).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=config.bfloat16):
            latents = self.model.latents(audio)
        latents = latents.float()
        scale_cost, quantized = latent_scale(latents), None
        if self.step >= min(config.code_starts):
            if self.step % _DEAD_CODE_STEPS == 0:
                self.model.quantizer.replace_dead_codes(latents.detach())
            quantized = self.model.quantizer(latents)
            latents = quantized.latents
        with torch.autocast(self.device.type, torch.bfloat16, enabled=config.bfloat16):
            decoded = self.model.synthesise(latents)
        terms = self.loss(decoded.float(), audio, self.step, self.step / config.steps)
        terms["latent_scale"] = config.loss.latent_scale * scale_cost
        if quantized is not None:
            terms["commitment"] = config.loss.commitment * quantized.commitment
        self._descend(sum(terms.values(), torch.zeros(())))
        row = {name: float(term.detach()) for name, term in terms.items()}
        if quantized is not None:
            row["perplexity"] = min(perplexities(quantized.codes, config.shape.codebook_size))
        self.step += 1
        return row

    def _descend(self, loss: Tensor) -> None:
        if not math.isfinite(float(loss.detach())):
            raise MusicgenRTError(
                f"the loss of step {self.step} is {float(loss.detach())}: no weight was changed; "
                "the saved state is whole, so start a run with a lower learning rate"
            )
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), _CLIP_NORM)
        for optimizer in self.optimizers.values():
            optimizer.step()
        self._follow_average()

    @torch.no_grad()
    def _follow_average(self) -> None:
        decay = min(self.config.optim.average_decay, (1 + self.step) / (10 + self.step))
        for name, tensor in self.model.state_dict().items():
            self.average[name].lerp_(tensor, 1 - decay)

    @torch.no_grad()
    def _start_codes(self) -> None:
        """Starts the codebooks from the latents of the batches just before this step."""
        steps = range(self.step - _KMEANS_BATCHES, self.step)
        batches = [self.pool.batch(max(step, 0), self.config.batch_rows) for step in steps]
        latents = torch.cat([self.model.latents(audio.to(self.device)) for audio in batches])
        self.model.quantizer.start_from(latents)
        for name, tensor in self.model.quantizer.state_dict().items():
            self.average[f"quantizer.{name}"].copy_(tensor)

    def state(self) -> RunState:
        """What a resumed run needs."""
        tensors = checkpointing.prefixed("model", self.model.state_dict())
        tensors |= checkpointing.prefixed("average", self.average)
        tensors |= checkpointing.prefixed("random", checkpointing.random_state())
        values: dict[str, Any] = {"step": self.step, "optimizers": {}}
        for name, optimizer in self.optimizers.items():
            packed = checkpointing.pack_optimizer(optimizer)
            tensors |= checkpointing.prefixed(f"optimizer.{name}", packed.tensors)
            values["optimizers"][name] = packed.values
        return RunState(tensors, values)

    def restore(self, state: RunState) -> None:
        """Goes back to where `state` was taken."""
        self.model.load_state_dict(state.group("model"))
        self.average = {n: tensor.to(self.device) for n, tensor in state.group("average").items()}
        for name, optimizer in self.optimizers.items():
            packed = RunState(state.group(f"optimizer.{name}"), state.values["optimizers"][name])
            checkpointing.unpack_optimizer(optimizer, packed)
        checkpointing.restore_random_state(state.group("random"))
        self.step = state.values["step"]


def train_codec(config: CodecTrainConfig, source: ClipSource | None = None) -> None:
    """Trains until the last step or a stop signal; goes on where the run folder stands.

    `source` makes the clip of a seed and defaults to the music generator. Raises
    MusicgenRTError when the loss is no longer a number; the last saved state stays.
    """
    torch.set_num_threads(config.threads)
    folder = Path(config.run_folder)
    saved = checkpointing.open_run(folder, config_table(config), _FREE_KEYS)
    rate_hz = config.shape.sample_rate_hz
    trainer = CodecTrainer(config, source or music_source(config.pool.clip_seconds, rate_hz))
    if saved is not None:
        trainer.restore(saved)
        print(f"resumed {folder} at step {trainer.step}", flush=True)
    pace = Pace(config.steps, config.report_steps, config.save_seconds)
    with StopRequest() as stop:
        run_to_the_end(trainer, folder, pace, lambda: stop.asked)


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train a codec; resumes its run folder.")
    parser.add_argument("--config", type=Path, required=True, help="TOML file of the run")
    options = parser.parse_args(arguments)
    train_codec(read_config(options.config, CodecTrainConfig))


if __name__ == "__main__":
    main()
