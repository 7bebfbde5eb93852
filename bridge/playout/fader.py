"""The fader: the performer's gain and mute, each change at its sample, with a ramp."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from bridge.levels import GAIN_RANGE_DB
from bridge.playout.fade import Ramp
from musicgen_rt.errors import MusicgenRTError

# Where a beat of the session lies.
SampleAt = Callable[[float], int]

MAX_PENDING = 64
MAX_RAMP_SECONDS = 60.0
MUTE_SECONDS = 0.01


class TooManyChangesError(MusicgenRTError):
    """More changes of gain are scheduled than the fader keeps."""


@dataclass(frozen=True)
class Change:
    """From `sample` on (None: at once), go to `gain` during `ramp_samples`; `id` is answered.

    `beat` is the session's beat of that sample, if it was asked for at a line.
    """

    id: int
    sample: int | None
    gain: float
    ramp_samples: int
    beat: float | None = None


@dataclass
class GainStage:
    """One gain with changes to come. [pump]"""

    ramp: Ramp
    pending: list[Change] = field(default_factory=list)

    def schedule(self, change: Change) -> None:
        """Keep a change until its sample. Raises TooManyChangesError."""
        if len(self.pending) >= MAX_PENDING:
            raise TooManyChangesError(
                f"{MAX_PENDING} changes are already scheduled: wait for some of them"
            )
        self.pending.append(change)
        self._sort()

    def move_lines(self, sample_at: SampleAt) -> None:
        """The lines lie elsewhere now: what waits for one goes with it."""
        self.pending = [
            one if one.beat is None else replace(one, sample=sample_at(one.beat))
            for one in self.pending
        ]
        self._sort()

    def _sort(self) -> None:
        self.pending.sort(key=lambda change: -math.inf if change.sample is None else change.sample)

    def gains(self, position: int, count: int) -> tuple[NDArray[np.float32], list[int]]:
        """The gains [count] from `position` on, and the ids of the changes that begin there."""
        parts = []
        begun = []
        end = position + count
        while self.pending:
            change = self.pending[0]
            at = position if change.sample is None else max(position, change.sample)
            if at >= end:
                break
            parts.append(self.ramp.gains(position, at - position))
            now = self.ramp.at(at - 1)
            self.ramp = Ramp(at, at + change.ramp_samples, now, change.gain)
            begun.append(self.pending.pop(0).id)
            position = at
        parts.append(self.ramp.gains(position, end - position))
        return np.concatenate(parts), begun


class Fader:
    """Gain and mute, one after the other. [pump]"""

    def __init__(self, rate_hz: int, gain_db: float = 0.0, is_muted: bool = False) -> None:
        self._rate_hz = rate_hz
        self._gain = GainStage(Ramp.constant(to_gain(gain_db)))
        self._mute = GainStage(Ramp.constant(0.0 if is_muted else 1.0))

    def set_gain(
        self,
        id: int,
        gain_db: float,
        sample: int | None,
        ramp_seconds: float,
        beat: float | None = None,
    ) -> None:
        """Raises TooManyChangesError."""
        ramp_seconds = min(max(ramp_seconds, MUTE_SECONDS), MAX_RAMP_SECONDS)
        ramp_samples = round(ramp_seconds * self._rate_hz)
        self._gain.schedule(Change(id, sample, to_gain(gain_db), ramp_samples, beat))

    def set_mute(
        self, id: int, is_muted: bool, sample: int | None, beat: float | None = None
    ) -> None:
        """Raises TooManyChangesError."""
        ramp_samples = round(MUTE_SECONDS * self._rate_hz)
        self._mute.schedule(Change(id, sample, 0.0 if is_muted else 1.0, ramp_samples, beat))

    def move_lines(self, sample_at: SampleAt) -> None:
        """The lines lie elsewhere now: what waits for one goes with it."""
        self._gain.move_lines(sample_at)
        self._mute.move_lines(sample_at)

    def gains(self, position: int, count: int) -> tuple[NDArray[np.float32], list[int]]:
        """The gains [count] from `position` on, and the ids of the changes that begin there."""
        gain, changed = self._gain.gains(position, count)
        mute, muted = self._mute.gains(position, count)
        return gain * mute, [*changed, *muted]


def to_gain(gain_db: float) -> float:
    """The factor for `gain_db` within GAIN_RANGE_DB; the lowest value is silence."""
    low, high = GAIN_RANGE_DB
    if gain_db <= low:
        return 0.0
    return 10.0 ** (min(gain_db, high) / 20)
