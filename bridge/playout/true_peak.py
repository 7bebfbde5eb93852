"""True peaks: how high the curve through the samples rises between them.

Four times oversampled, as in ITU-R BS.1770-4, annex 2; with a longer filter than its example.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

OVERSAMPLING = 4
# Samples on either side of a point between two samples.
_REACH_SAMPLES = 12


def _interpolator() -> NDArray[np.float32]:
    """Weights [2 * reach, OVERSAMPLING - 1] of the samples around each point between two."""
    offsets = np.arange(-_REACH_SAMPLES + 1, _REACH_SAMPLES + 1)[:, None]
    points = np.arange(1, OVERSAMPLING)[None] / OVERSAMPLING
    distance = offsets - points
    window = np.i0(8.0 * np.sqrt(np.clip(1 - (distance / _REACH_SAMPLES) ** 2, 0, 1))) / np.i0(8.0)
    weights = np.sinc(distance) * window
    return (weights / weights.sum(axis=0)).astype(np.float32)


_WEIGHTS = _interpolator()

# No curve rises higher over its samples than by this factor.
MAX_OVERSHOOT = float(np.abs(_WEIGHTS).sum(axis=0).max())

# How many samples must be known before and behind the first and last peak.
BEFORE_SAMPLES = _REACH_SAMPLES
BEHIND_SAMPLES = _REACH_SAMPLES


def true_peaks(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The highest level around each sample, over all channels.

    `samples` [N, C] with BEFORE_SAMPLES and BEHIND_SAMPLES around those asked for; returns
    [N - BEFORE_SAMPLES - BEHIND_SAMPLES]. A peak between two samples counts for both.
    """
    windows = np.lib.stride_tricks.sliding_window_view(samples, 2 * _REACH_SAMPLES, axis=0)
    between = np.abs(windows @ _WEIGHTS).max(axis=(1, 2))  # [N - 2 * reach + 1]
    at = np.abs(samples[BEFORE_SAMPLES:-BEHIND_SAMPLES]).max(axis=1)
    peaks: NDArray[np.float32] = np.maximum(at, np.maximum(between[:-1], between[1:]))
    return peaks
