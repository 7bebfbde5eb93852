"""Additive synthesis by matrix products: sums of partials with moving levels, free of aliasing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from musicgen_rt.train.music.audio_array import Samples

BLOCK_SAMPLES = 128
# Partials above this share of the sampling rate are left out.
_HIGHEST_SHARE = 0.46

Floats = npt.NDArray[np.float64]


def block_times(samples: int, rate_hz: int) -> Floats:
    """The times [F] in seconds at which `render_partials` wants levels: each block's edges."""
    blocks = -(-samples // BLOCK_SAMPLES)
    times: Floats = np.arange(blocks + 1, dtype=np.float64) * (BLOCK_SAMPLES / rate_hz)
    return times


def render_partials(
    frequencies_hz: Floats, levels: Floats, phases: Floats, samples: int, rate_hz: int
) -> Samples:
    """The sum of sines, [N].

    `frequencies_hz` [H], constant; `phases` [H] in radians; `levels` [H, F] at `block_times`, in
    between which they move in straight lines. Within a block each partial is a fixed rotation of
    one sine and cosine, so that the whole sum is one matrix product.
    """
    heard = frequencies_hz < _HIGHEST_SHARE * rate_hz
    angles = 2.0 * np.pi * frequencies_hz[heard] / rate_hz  # [H]
    levels = levels[heard]
    blocks = levels.shape[1] - 1
    offsets = np.arange(BLOCK_SAMPLES)
    basis = _basis(angles, offsets)  # [4H, S]
    theta = angles[:, None] * (np.arange(blocks) * BLOCK_SAMPLES) + phases[heard][:, None]
    sine, cosine = np.sin(theta), np.cos(theta)  # [H, F-1]
    start, slope = levels[:, :-1], np.diff(levels, axis=1)
    weights = np.concatenate([start * sine, start * cosine, slope * sine, slope * cosine])
    sound = weights.T.astype(np.float32) @ basis  # [F-1, S]
    return sound.reshape(-1)[:samples]


def _basis(angles: Floats, offsets: npt.NDArray[np.int64]) -> Samples:
    """cos and sin of each partial over one block, and both again along a rising ramp, [4H, S]."""
    turn = angles[:, None] * offsets
    ramp = offsets / BLOCK_SAMPLES
    cosine, sine = np.cos(turn), np.sin(turn)
    return np.concatenate([cosine, sine, cosine * ramp, sine * ramp]).astype(np.float32)


def harmonic_count(fundamental_hz: float, rate_hz: int, most: int) -> int:
    """How many harmonics fit under the band limit, at least 1 and at most `most`."""
    return int(np.clip(_HIGHEST_SHARE * rate_hz / fundamental_hz, 1, most))


def lowpass_response(
    frequencies_hz: Floats, cutoff_hz: Floats, resonance: float, poles: int = 2
) -> Floats:
    """The gain [H, F] of an analogue low-pass whose cutoff [F] moves; `resonance` is its Q."""
    ratio = frequencies_hz[:, None] / cutoff_hz[None, :]
    gain = 1.0 / np.sqrt((1.0 - ratio**2) ** 2 + (ratio / resonance) ** 2)
    return gain if poles == 2 else gain / np.sqrt(1.0 + ratio**4)
