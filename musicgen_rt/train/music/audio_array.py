"""The arrays of the synthesiser, fixed noise, and adding sounds to a bus."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

_NOISE_SAMPLES = 1 << 19


@lru_cache(maxsize=1)
def _noise_bank() -> Samples:
    bank = np.random.default_rng(20240607).standard_normal(_NOISE_SAMPLES, dtype=np.float32)
    bank.setflags(write=False)
    return bank


def noise(rng: np.random.Generator, samples: int) -> Samples:
    """White noise [N] of unit variance: a random stretch of one fixed bank (drawing is slow)."""
    bank = _noise_bank()
    if samples >= len(bank):
        return rng.standard_normal(samples, dtype=np.float32)
    start = int(rng.integers(len(bank) - samples))
    return bank[start : start + samples]


def add_at(bus: Samples, sound: Samples, start_sample: int, gain: float = 1.0) -> None:
    """Adds `sound` [M] times `gain` to `bus` [N] in place; what lies outside the bus is cut."""
    first = max(start_sample, 0)
    last = min(start_sample + len(sound), len(bus))
    if first < last:
        bus[first:last] += np.float32(gain) * sound[first - start_sample : last - start_sample]


def fade_edges(sound: Samples, attack_samples: int, release_samples: int) -> Samples:
    """`sound` [N] with raised-cosine ramps at its ends, so that it begins and ends at 0."""
    shaped = sound.copy()
    attack = min(attack_samples, len(sound) // 2)
    release = min(release_samples, len(sound) - attack)
    shaped[:attack] *= _ramp(attack)
    if release:
        shaped[-release:] *= _ramp(release)[::-1]
    return shaped


@lru_cache(maxsize=256)
def _ramp(samples: int) -> Samples:
    """0 to 1 along half a cosine, [N]."""
    position = (np.arange(samples) + 0.5) / max(samples, 1)
    return (0.5 - 0.5 * np.cos(np.pi * position)).astype(np.float32)


def time_axis(samples: int, rate_hz: int) -> Samples:
    """The time of each sample in seconds, [N]."""
    return np.arange(samples, dtype=np.float32) / np.float32(rate_hz)


def peak_normalised(sound: Samples) -> Samples:
    """`sound` [N] with its peak at 1 (silence stays silence)."""
    peak = float(np.max(np.abs(sound), initial=0.0))
    return sound / np.float32(peak) if peak > 1e-9 else sound
