"""Trains the language model, or tunes a checkpoint's; it is resumed by naming the same folder.

What a step does is a pure function of the weights, the optimisers and the step's number: data and
dropout are drawn from (seed, step, process), so that a resumed run goes on as if never stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from musicgen_rt.errors import MusicgenRTError, ParameterError
from musicgen_rt.train import checkpointing
from musicgen_rt.train.checkpointing import RunState
from musicgen_rt.train.config import config_table
from musicgen_rt.train.lm_config import LMTrainConfig
from musicgen_rt.train.lm_data import TextReading, WindowSampler
from musicgen_rt.train.lm_foundation import Foundation, load_foundation
from musicgen_rt.train.lm_lessons import require_lessons
from musicgen_rt.train.lm_objective import LMObjective, build_objective, keep_taught_heads
from musicgen_rt.train.lm_optim import learning_rate_part, make_optimizers
from musicgen_rt.train.lm_processes import Processes, open_processes
from musicgen_rt.train.lm_records import ClipLibrary
from musicgen_rt.train.lm_validation import Validation
from musicgen_rt.train.metrics import append_metrics
from musicgen_rt.train.run_loop import StopRequest
from musicgen_rt.train.running_average import RunningAverage

# May differ between the parts of a run: where it runs and how often it is looked at.
_FREE_KEYS = ("device", "threads", "compile", "save_seconds", "report_steps")


class LMTrainer:
    """The moving parts of a run; `step` counts finished steps. [one thread]"""

    def __init__(self, config: LMTrainConfig, foundation: Foundation, processes: Processes) -> None:
        self.config, self.processes = config, processes
        self.step = 0
        library = ClipLibrary(Path(config.data))
        require_lessons(library, foundation.config.frame_conditioning, foundation.own)
        self.objective = build_objective(config, foundation).to(processes.device)
        keep_taught_heads(self.objective, foundation, library)
        if config.text_warmup_steps and self.objective.heads is None:
            raise ParameterError(
                f"text_warmup_steps is {config.text_warmup_steps} and nothing teaches a text: no "
                f"clip of {config.data} has a tempo, or text_weight is 0; expected 0 steps"
            )
        if config.compile:
            self.objective.model.decoder.compile()
        self.sampler = make_sampler(config, foundation, self.objective, library)
        self.optimizers = make_optimizers(self.objective, config.optim)
        self.average = RunningAverage(self.trained(), config.optim.average_decay)
        self._shared: nn.Module | None = None

    @property
    def total_steps(self) -> int:
        """Steps of the text encoder alone, then those of the whole."""
        return self.config.text_warmup_steps + self.config.steps

    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that are not frozen, by name."""
        return {n: p for n, p in self.objective.named_parameters() if p.requires_grad}

    def run_step(self) -> dict[str, float]:
        """Trains on one batch and returns its figures."""
        config, process = self.config, self.processes.index
        torch.manual_seed(hash((config.seed, self.step, process)) % (1 << 63))
        lm_step = self.step - config.text_warmup_steps
        if lm_step < 0:
            # The same in all processes: there is nothing to exchange.
            batch: Any = self.sampler.texts(self.step, config.text_warmup_rows)
            part = min(1.0, (self.step + 1) / max(1, config.optim.warmup_steps))
            run: nn.Module = self.objective
        else:
            batch = self.sampler.windows(self.step, process)
            part = learning_rate_part(lm_step, config.steps, config.optim)
            run = self._shared = self._shared or self.processes.shared(
                self.objective, rests_in_part=config.freezes_text
            )
        self._set_learning_rates(part)
        loss, figures = run(batch.to(self.processes.device))
        norm = self._descend(loss)
        row = {name: float(value) for name, value in figures.items()}
        self.step += 1
        return row | {"gradient_norm": norm, "learning_rate_part": part}

    def _descend(self, loss: Tensor) -> float:
        """One step downhill; the norm of the gradient before it was clipped."""
        value = float(loss.detach())
        if not math.isfinite(value):
            raise MusicgenRTError(
                f"the loss of step {self.step} is {value}: no weight was changed; the saved state "
                "is whole, so start a run with a lower learning rate"
            )
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        parameters = list(self.trained().values())
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.config.optim.clip_norm)
        for optimizer in self.optimizers.values():
            optimizer.step()
        # Begins again with the whole: until then most weights are where they were drawn.
        warmup_steps = self.config.text_warmup_steps
        self.average.follow(parameters, self.step - warmup_steps * (self.step >= warmup_steps))
        return float(norm)

    def _set_learning_rates(self, part: float) -> None:
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * part

    def state(self) -> RunState:
        """What a resumed run needs; frozen weights are those of the run's start."""
        trained = {name: parameter.detach() for name, parameter in self.trained().items()}
        tensors = checkpointing.prefixed("model", trained)
        tensors |= checkpointing.prefixed("average", self.average.tensors)
        values: dict[str, Any] = {"step": self.step, "optimizers": {}}
        for name, optimizer in self.optimizers.items():
            packed = checkpointing.pack_optimizer(optimizer)
            tensors |= checkpointing.prefixed(f"optimizer.{name}", packed.tensors)
            values["optimizers"][name] = packed.values
        return RunState(tensors, values)

    def restore(self, state: RunState) -> None:
        """Goes back to where `state` was taken."""
        put_weights(self.trained(), state.group("model"))
        put_weights(self.average.tensors, state.group("average"))
        for name, optimizer in self.optimizers.items():
            packed = RunState(state.group(f"optimizer.{name}"), state.values["optimizers"][name])
            checkpointing.unpack_optimizer(optimizer, packed)
        self.step = state.values["step"]


@torch.no_grad()
def put_weights(into: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """Copies tensors into those of the same names, of which none may be missing."""
    for name, target in into.items():
        target.copy_(tensors[name])


def make_sampler(
    config: LMTrainConfig, foundation: Foundation, objective: LMObjective, library: ClipLibrary
) -> WindowSampler:
    """Windows of encoded clips. Raises ParameterError for codes of another codec."""
    lm = foundation.config.lm
    if library.num_codebooks != lm.num_codebooks:
        raise ParameterError(
            f"{library.folder} has codes of {library.num_codebooks} codebooks, the model has "
            f"{lm.num_codebooks}: encode with the model's own codec"
        )
    if config.batch.window_frames > lm.max_positions:
        raise ParameterError(
            f"batch.window_frames is {config.batch.window_frames}; the model has positions for "
            f"{lm.max_positions}"
        )
    names = None if objective.heads is None else objective.heads.names
    reading = TextReading(foundation.tokenizer(), config.batch.max_text_tokens, names)
    conditioning = foundation.config.frame_conditioning
    attributes = () if conditioning is None else conditioning.attributes
    return WindowSampler(library, config.batch, config.drop, attributes, reading, config.seed)


def train_lm(config: LMTrainConfig) -> None:
    """Trains until the last step or a stop signal; goes on where the run folder stands.

    Raises MusicgenRTError when the loss is no longer a number; the last saved state stays.
    """
    torch.set_num_threads(config.threads)
    folder = Path(config.run_folder)
    table = config_table(config)
    with open_processes(config.device) as processes, StopRequest() as stop:
        is_first = processes.is_first
        saved = processes.first_then_others(
            lambda: checkpointing.open_run(folder, table, _FREE_KEYS, writes=is_first)
        )
        foundation = load_foundation(config)
        trainer = LMTrainer(config, foundation, processes)
        if saved is not None:
            trainer.restore(saved)
            _say(processes, f"resumed {folder} at step {trainer.step}")
        validation = None
        if config.validation and is_first:
            held_out = replace(config, drop=replace(config.drop, **_NO_DROP))
            library = ClipLibrary(Path(config.validation))
            sampler = make_sampler(held_out, foundation, trainer.objective, library)
            validation = Validation(sampler, config.validate_batches, processes.device)
        _loop(trainer, folder, validation, lambda: processes.any_of(stop.asked))


_NO_DROP = dict.fromkeys(("text", "clock", "chroma", "attribute", "everything", "frames"), 0.0)


def _loop(
    trainer: LMTrainer,
    folder: Path,
    validation: Validation | None,
    asked_to_stop: Callable[[], bool],
) -> None:
    config, first = trainer.config, trainer.processes.is_first
    rows: list[dict[str, float]] = []
    last_save = last_report = time.monotonic()
    while trainer.step < trainer.total_steps and not asked_to_stop():
        rows.append(trainer.run_step())
        now = time.monotonic()
        is_last = trainer.step == trainer.total_steps
        if trainer.step % config.report_steps == 0 or is_last:
            _report(folder, trainer, rows, now - last_report)
            rows, last_report = [], now
        if validation is not None and (trainer.step % config.validate_steps == 0 or is_last):
            figures = validation.run(trainer.objective, trainer.trained(), trainer.average)
            _write(folder, trainer, {"step": trainer.step} | figures)
            last_report = time.monotonic()
        if first and now - last_save >= config.save_seconds:
            checkpointing.save_state(folder, trainer.state())
            last_save = now
    if first:
        checkpointing.save_state(folder, trainer.state())
    _say(trainer.processes, f"saved {folder} at step {trainer.step} of {trainer.total_steps}")


def _report(folder: Path, trainer: LMTrainer, rows: list[dict[str, float]], seconds: float) -> None:
    if not trainer.processes.is_first:
        return
    names = {name: None for row in rows for name in row}
    values = {name: [row[name] for row in rows if name in row] for name in names}
    batch = trainer.config.batch
    made = len(rows) * batch.rows * batch.window_frames * trainer.processes.count
    summary = {"step": trainer.step, "seconds": seconds, "frames_per_second": made / seconds}
    _write(folder, trainer, summary | {n: sum(v) / len(v) for n, v in values.items()})


def _write(folder: Path, trainer: LMTrainer, row: Mapping[str, float]) -> None:
    rounded = {n: value if isinstance(value, int) else round(value, 5) for n, value in row.items()}
    append_metrics(folder, rounded)
    text = " ".join(f"{name} {value:.4g}" for name, value in rounded.items() if name != "step")
    _say(trainer.processes, f"step {trainer.step}/{trainer.total_steps} {text}")


def _say(processes: Processes, text: str) -> None:
    if processes.is_first:
        print(text, flush=True)
