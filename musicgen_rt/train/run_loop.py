"""The loop around the steps of a run: reports, saves, and a stop that loses nothing."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from musicgen_rt.train import checkpointing
from musicgen_rt.train.checkpointing import RunState
from musicgen_rt.train.metrics import append_metrics


class Trainer(Protocol):
    """What is run: `step` counts finished steps, `run_step` returns the figures of one."""

    step: int

    def run_step(self) -> Mapping[str, float]: ...

    def state(self) -> RunState: ...


@dataclass(frozen=True)
class Pace:
    """When a run ends, how often its figures are written and its state saved."""

    steps: int
    report_steps: int
    save_seconds: float


class StopRequest:
    """While entered, turns SIGTERM and SIGINT into a flag that is looked at between steps."""

    def __init__(self) -> None:
        self.asked = False
        self._earlier: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._earlier[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._earlier.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


def run_to_the_end(
    trainer: Trainer, folder: Path, pace: Pace, asked_to_stop: Callable[[], bool]
) -> None:
    """Steps until the last one or until asked to stop; the state is saved in either case."""
    rows: list[Mapping[str, float]] = []
    last_save = last_report = time.monotonic()
    while trainer.step < pace.steps and not asked_to_stop():
        rows.append(trainer.run_step())
        now = time.monotonic()
        if trainer.step % pace.report_steps == 0:
            write_figures(
                folder, trainer.step, pace.steps, {"seconds": now - last_report} | means(rows)
            )
            rows, last_report = [], now
        if now - last_save >= pace.save_seconds:
            checkpointing.save_state(folder, trainer.state())
            last_save = now
    checkpointing.save_state(folder, trainer.state())
    print(f"saved {folder} at step {trainer.step} of {pace.steps}", flush=True)


def means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each figure over the rows that have it."""
    names = {name: None for row in rows for name in row}
    values = {name: [row[name] for row in rows if name in row] for name in names}
    return {name: sum(found) / len(found) for name, found in values.items()}


def write_figures(folder: Path, step: int, steps: int, figures: Mapping[str, float]) -> None:
    """Adds a line of figures to the run's metrics and prints it."""
    rounded = {name: round(value, 5) for name, value in figures.items()}
    append_metrics(folder, {"step": step, **rounded})
    text = " ".join(f"{name} {value:.4g}" for name, value in rounded.items())
    print(f"step {step}/{steps} {text}", flush=True)
