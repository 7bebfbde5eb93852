"""How a stretch of music keeps to the beats that it was asked for: tempo error and lateness."""

from __future__ import annotations

from dataclasses import dataclass

import librosa
import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
Array = NDArray[np.float64]

_HOP_SAMPLES = 128
_TEMPO_RANGE = 0.03
_TEMPO_STEP = 0.0005
_LATE_RANGE_SECONDS = 0.12
_LATE_STEP_SECONDS = 0.004
# Onsets at the best beats over onsets anywhere; drumless pads stay below.
_LEAST_CONTRAST = 2.0
_LEAST_BEATS = 8


@dataclass(frozen=True)
class BeatFit:
    """The asked beats, stretched and shifted to where onsets are strongest.

    `tempo_error` is heard / asked - 1. `late_ms` is at the middle of the stretch and holds the few
    milliseconds by which librosa's onset strength peaks after an onset. `contrast` is the onset
    strength there over the mean.
    """

    tempo_error: float
    late_ms: float
    contrast: float

    @property
    def is_clear(self) -> bool:
        """Whether there is a pulse to speak of."""
        return self.contrast >= _LEAST_CONTRAST


@dataclass(frozen=True)
class OnsetStrength:
    """librosa's onset strength [T] of a recording, mean 1."""

    values: Array
    frames_a_second: float

    @classmethod
    def of(cls, samples: Samples, rate_hz: int) -> OnsetStrength:
        """That of mono samples [N]."""
        values = librosa.onset.onset_strength(y=samples, sr=rate_hz, hop_length=_HOP_SAMPLES)
        values = values.astype(np.float64)
        return cls(values / max(float(values.mean()), 1e-12), rate_hz / _HOP_SAMPLES)

    def at(self, seconds: Array) -> Array:
        """The strength at times of any shape."""
        return np.interp(
            seconds * self.frames_a_second, np.arange(len(self.values)), self.values, 0.0, 0.0
        )

    def between(self, begin: float, end: float) -> Array:
        """The strengths within a stretch."""
        first, last = (round(edge * self.frames_a_second) for edge in (begin, end))
        return self.values[first:last]


def fit_beats(onsets: OnsetStrength, beats_seconds: Array) -> BeatFit | None:
    """The fit of asked beats [n], up to 3 % faster or slower and 120 ms early or late.

    None for fewer than 8 beats. A tempo error beyond the range shows as little contrast.
    """
    if len(beats_seconds) < _LEAST_BEATS:
        return None
    middle = (beats_seconds[0] + beats_seconds[-1]) / 2
    errors = np.arange(-_TEMPO_RANGE, _TEMPO_RANGE + _TEMPO_STEP / 2, _TEMPO_STEP)
    lates = np.arange(
        -_LATE_RANGE_SECONDS, _LATE_RANGE_SECONDS + _LATE_STEP_SECONDS / 2, _LATE_STEP_SECONDS
    )
    best = (-1.0, 0.0, 0.0)
    for error in errors:
        # Of shape [lates, beats].
        times = middle + (beats_seconds - middle)[None, :] / (1.0 + error) + lates[:, None]
        scores = onsets.at(times).mean(axis=1)
        at = int(scores.argmax())
        best = max(best, (float(scores[at]), float(error), float(lates[at])))
    strength = float(onsets.between(beats_seconds[0], beats_seconds[-1]).mean())
    # The grid of trials is this coarse; more digits would be rounding.
    error, late_ms = round(best[1], 4), round(best[2] * 1e3, 1)
    return BeatFit(error, late_ms, best[0] / max(strength, 1e-12))
