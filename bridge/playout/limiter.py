"""The limiter: a ceiling that no peak passes, also none between the samples.

It looks ahead: the gain that a peak needs is reached before the peak comes, along a smooth curve,
and let go of slowly. Below the ceiling the samples only pass through a delay, unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bridge.playout.true_peak import (
    BEFORE_SAMPLES,
    BEHIND_SAMPLES,
    MAX_OVERSHOOT,
    true_peaks,
)

_LOOKAHEAD_SECONDS = 0.0015
_RELEASE_SECONDS = 0.12
# What the peak filter may miss beside a longer one, and what the changing gain adds.
_MARGIN_DB = 0.15
_MAX_BLOCK_SAMPLES = 4096
# A reduction that is no longer one.
_NEGLIGIBLE = 1e-6


class LimiterState(NamedTuple):
    """What is carried from block to block."""

    samples: NDArray[np.float32]  # [before + lookahead + behind, C]: not yet given out
    wanted: NDArray[np.float64]  # [2 * lookahead]: reductions that peaks ask for, 0 is none
    held: NDArray[np.float64]  # [lookahead]: the same, held and released
    reduction: float  # the last of `held`


@dataclass(frozen=True)
class Limiter:
    """A ceiling in dBFS at `rate_hz`."""

    rate_hz: int
    ceiling_db: float = -1.0

    @property
    def ceiling(self) -> float:
        """The level that no sample passes."""
        return 10.0 ** (self.ceiling_db / 20)

    @property
    def lookahead_samples(self) -> int:
        return max(1, round(_LOOKAHEAD_SECONDS * self.rate_hz))

    @property
    def delay_samples(self) -> int:
        """By how much the output is late."""
        return self.lookahead_samples + BEHIND_SAMPLES

    def start(self, channels: int) -> LimiterState:
        """The state after silence."""
        ahead = self.lookahead_samples
        samples = np.zeros((BEFORE_SAMPLES + ahead + BEHIND_SAMPLES, channels), np.float32)
        return LimiterState(samples, np.zeros(ahead), np.zeros(ahead), 0.0)

    def process(
        self, state: LimiterState, samples: NDArray[np.float32]
    ) -> tuple[LimiterState, NDArray[np.float32], float]:
        """The state after, the output [N, C] for `samples` [N, C], and the lowest gain in it."""
        parts = []
        lowest = 1.0
        for first in range(0, len(samples), _MAX_BLOCK_SAMPLES):
            block = samples[first : first + _MAX_BLOCK_SAMPLES]
            state, part, gain = self._block(state, block)
            parts.append(part)
            lowest = min(lowest, gain)
        return state, np.concatenate(parts) if parts else samples, lowest

    def _block(
        self, state: LimiterState, block: NDArray[np.float32]
    ) -> tuple[LimiterState, NDArray[np.float32], float]:
        count, ahead = len(block), self.lookahead_samples
        known = np.concatenate([state.samples, block])
        due = known[BEFORE_SAMPLES : BEFORE_SAMPLES + count]
        # Peaks of the samples that are `ahead` behind those due.
        wanted = np.concatenate([state.wanted, self._wanted(known[ahead:])])
        kept = known[count:]
        if state.reduction < _NEGLIGIBLE and not state.held.any() and not wanted.any():
            return LimiterState(kept, wanted[count:], state.held, 0.0), due, 1.0
        needed = _windowed_max(wanted, ahead + 1)
        held = np.concatenate([state.held, self._release(state.reduction, needed)])
        gains = 1.0 - _smooth(held, ahead + 1)
        limited = np.clip(due * gains[:, None], -self.ceiling, self.ceiling)
        after = LimiterState(kept, wanted[count:], held[count:], float(held[-1]))
        return after, limited.astype(np.float32), float(gains.min())

    def _wanted(self, samples: NDArray[np.float32]) -> NDArray[np.float64]:
        """The reductions that the peaks of `samples` [N, C] ask for; [N - before - behind]."""
        target = self.ceiling * 10.0 ** (-_MARGIN_DB / 20)
        if np.abs(samples).max() * MAX_OVERSHOOT <= target:
            return np.zeros(len(samples) - BEFORE_SAMPLES - BEHIND_SAMPLES)
        peaks = true_peaks(samples).astype(np.float64)
        return 1.0 - target / np.maximum(peaks, target)

    def _release(self, before: float, reductions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Follow at once what rises, fall back slowly: max(r[n], a * out[n-1]), in closed form."""
        steps = np.arange(1, len(reductions) + 1)
        decay: NDArray[np.float64] = np.exp(-steps / (_RELEASE_SECONDS * self.rate_hz))
        highest = np.maximum.accumulate(np.maximum(reductions / decay, before))
        released: NDArray[np.float64] = decay * highest
        released[released < _NEGLIGIBLE] = 0.0
        return released


def _windowed_max(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """The highest of each `width` neighbours: [N - width + 1]."""
    windows = np.lib.stride_tricks.sliding_window_view(values, width)
    highest: NDArray[np.float64] = windows.max(axis=1)
    return highest


def _smooth(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Means of each `width` neighbours under a Hann window: [N - width + 1]."""
    window = np.hanning(width + 2)[1:-1]
    means: NDArray[np.float64] = np.convolve(values, window / window.sum(), mode="valid")
    return means
