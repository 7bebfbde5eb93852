"""Marks of the stand-in engine in a recording: clicks, and where its tone begins, ends or is muted.

Places are samples from the recording's start, as fractions where they lie between two.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from musicgen_rt.evaluate.sync_music import CLICK_HZ, CLICK_SECONDS, TONE_HZ, TONE_LEVEL

Samples = NDArray[np.float32]

# What is left of the tone in its second difference is a thousandth of a click's.
_CLICK_LEVEL = 0.02
_GAP_SECONDS = 0.02
_SILENT_LEVEL = 0.0003
_SILENT_SECONDS = 0.03
# The ramp of a mute: it begins at the mark and is half way in its middle.
_MUTE_SECONDS = 0.010


def clicks(samples: Samples, rate_hz: int) -> list[int]:
    """Where clicks begin in `samples` [N]."""
    bends = np.abs(np.diff(samples, 2, prepend=samples[:1], append=samples[-1:]))
    loud = np.flatnonzero(bends > _CLICK_LEVEL)
    if not len(loud):
        return []
    begins = np.concatenate(([True], np.diff(loud) > _GAP_SECONDS * rate_hz))
    return [int(at) for at in loud[begins]]


def click_pitch(samples: Samples, at: int, rate_hz: int) -> int:
    """Which of the engine's two clicks begins at a place: 0 or 1."""
    piece = samples[at : at + round(CLICK_SECONDS * rate_hz)]
    time_seconds = np.arange(len(piece)) / rate_hz
    powers = [abs(np.sum(piece * np.exp(-2j * np.pi * hz * time_seconds))) for hz in CLICK_HZ]
    return int(np.argmax(powers))


def first_sound(samples: Samples, rate_hz: int) -> int | None:
    """Where sound begins after silence."""
    silent = _silences(samples, rate_hz)
    return int(silent[0][1]) if silent and silent[0][1] < len(samples) else None


def last_sound(samples: Samples, rate_hz: int) -> int | None:
    """Where sound ends and silence begins."""
    later = [begin for begin, _ in _silences(samples, rate_hz) if begin > 0]
    return int(later[0]) if later else None


def mute(samples: Samples, rate_hz: int, *, is_on: bool) -> float | None:
    """Where the tone begins to fade out (or in) by the ramp of a mute."""
    level = tone_level(samples, rate_hz) / TONE_LEVEL
    is_half = level < 0.5 if is_on else level > 0.5
    # The first period is not heard in full.
    period = round(rate_hz / TONE_HZ)
    found = np.flatnonzero(is_half[period:]) + period
    if not len(found) or found[0] == period:
        return None
    # The level is that of the period of the tone before, whose middle lies half of one back.
    delay_seconds = _MUTE_SECONDS / 2 + 0.5 / TONE_HZ
    return float(found[0]) - delay_seconds * rate_hz


def tone_level(samples: Samples, rate_hz: int) -> NDArray[np.float64]:
    """The tone's amplitude over the period of it that ends at each sample: [N]."""
    period = round(rate_hz / TONE_HZ)
    turned: NDArray[Any] = samples * np.exp(
        -2j * np.pi * TONE_HZ / rate_hz * np.arange(len(samples))
    )
    sums = np.cumsum(np.concatenate((np.zeros(period), turned)))
    level: NDArray[np.float64] = 2 * np.abs(sums[period:] - sums[:-period]) / period
    return level


def _silences(samples: Samples, rate_hz: int) -> list[tuple[int, int]]:
    """Stretches of silence [begin, end) that are longer than the tone's own zeros."""
    quiet = np.abs(samples) < _SILENT_LEVEL
    edges = np.flatnonzero(np.diff(np.concatenate(([False], quiet, [False])).astype(np.int8)))
    pairs = edges.reshape(-1, 2)
    shortest = _SILENT_SECONDS * rate_hz
    return [(int(begin), int(end)) for begin, end in pairs if end - begin > shortest]
