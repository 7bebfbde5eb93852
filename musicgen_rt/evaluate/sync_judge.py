"""Marks of the sync measure: how late each is heard against the host's bars, and in what calm.

A period that the server or a client misses moves what is heard by a period at once, and the
follower bends it back within some beats. That is the machine's fault, not the follower's: marks and
beats that fall into such a time are counted apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from musicgen_rt.evaluate import sync_marks
from musicgen_rt.evaluate.jack_recording import JackRecording
from musicgen_rt.evaluate.sync_host import BEATS_PER_BAR

# How late, in milliseconds, a frame of the server's is against the nearest of so many lines a bar.
HostError = Callable[[float, int], float]
Finder = Callable[[NDArray[np.float32], int, int], float | None]

_CALM_SECONDS, _CALM_BEATS = 1.0, 4


@dataclass
class Marks:
    """Errors in milliseconds, of marks by kind; positive is late.

    `disturbed` are those that a missed period came right before; `lost` marks were not found.
    """

    errors_ms: dict[str, list[float]] = field(default_factory=dict)
    beats_ms: list[float] = field(default_factory=list)
    disturbed_ms: list[float] = field(default_factory=list)
    lost: int = 0

    @property
    def calm(self) -> int:
        """How many marks count."""
        return sum(len(errors) for errors in self.errors_ms.values())

    @property
    def tried(self) -> int:
        """How many marks there were."""
        return self.calm + len(self.disturbed_ms) + self.lost


@dataclass(frozen=True)
class Judge:
    """Finds marks in a recording. `bar_frames` are the host's."""

    recording: JackRecording
    host_error_ms: HostError
    bar_frames: float

    def judge(self, kind: str, first_frame: int, pitch: int, marks: Marks) -> None:
        """Find a mark in what was heard since a frame; what a missed period spoilt is not heard."""
        since = first_frame
        if kind == "prompt":  # the click before it is one of the old ones
            since -= round(1.1 * self.bar_frames / BEATS_PER_BAR)
        missed = self.recording.missed_frames()
        rate_hz = self.recording.rate_hz
        for stretch in self.recording.stretches(since):
            samples = stretch.samples[:, 0]
            at = _FINDERS[kind](samples, rate_hz, pitch)
            for click in sync_marks.clicks(samples, rate_hz):
                frame = stretch.frame + click
                if self._is_calm(frame, missed):
                    marks.beats_ms.append(self.host_error_ms(frame, BEATS_PER_BAR))
            if at is None:
                continue
            error_ms = self.host_error_ms(stretch.frame + at, 1)
            if self._is_calm(stretch.frame + at, missed):
                marks.errors_ms.setdefault(kind, []).append(error_ms)
            else:
                marks.disturbed_ms.append(error_ms)
            return
        marks.lost += 1

    def _is_calm(self, frame: float, missed: list[int]) -> bool:
        beat_frames = self.bar_frames / BEATS_PER_BAR
        since = frame - _CALM_SECONDS * self.recording.rate_hz - _CALM_BEATS * beat_frames
        return not any(since <= one <= frame for one in missed)


def _prompt(samples: NDArray[np.float32], rate_hz: int, pitch: int) -> float | None:
    """The first click of the new pitch, if one of the old comes before it."""
    heard = sync_marks.clicks(samples, rate_hz)
    pitches = [sync_marks.click_pitch(samples, at, rate_hz) for at in heard]
    for before, at, new in zip(pitches, heard[1:], pitches[1:], strict=False):
        if before != pitch and new == pitch:
            return float(at)
    return None


_FINDERS: dict[str, Finder] = {
    "mute": lambda samples, rate_hz, _: sync_marks.mute(samples, rate_hz, is_on=True),
    "unmute": lambda samples, rate_hz, _: sync_marks.mute(samples, rate_hz, is_on=False),
    "prompt": _prompt,
    "stop": lambda samples, rate_hz, _: sync_marks.last_sound(samples, rate_hz),
    "play": lambda samples, rate_hz, _: sync_marks.first_sound(samples, rate_hz),
}


def figures_of(marks: Marks) -> dict[str, Any]:
    """What a report says of marks."""
    every = [one for errors in marks.errors_ms.values() for one in errors]
    return {
        "marks": len(every),
        "lost_marks": marks.lost,
        **_figures(every),
        "kinds": {kind: _figures(errors) for kind, errors in marks.errors_ms.items()},
        "disturbed": {"count": len(marks.disturbed_ms), **_figures(marks.disturbed_ms)},
        "beats": {"count": len(marks.beats_ms), **_figures(marks.beats_ms)},
    }


def _figures(errors_ms: list[float]) -> dict[str, float]:
    """Median of the signed errors; 95 % and the worst of their sizes."""
    if not errors_ms:
        return {}
    sizes = np.abs(errors_ms)
    return {
        "median_ms": round(float(np.median(errors_ms)), 3),
        "p95_ms": round(float(np.percentile(sizes, 95)), 3),
        "worst_ms": round(float(sizes.max()), 3),
    }
