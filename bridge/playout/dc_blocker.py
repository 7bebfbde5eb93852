"""The DC blocker: a first-order high-pass far below what is heard.

y[n] = x[n] - x[n-1] + r * y[n-1], after J. O. Smith, Introduction to Digital Filters, "DC
Blocker". The recursion is solved for a block at a time: y[n] r^-n is a running sum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_MAX_BLOCK_SAMPLES = 2048


class DCState(NamedTuple):
    """The last input and output of each channel: [C] each."""

    last_in: NDArray[np.float64]
    last_out: NDArray[np.float64]


@dataclass(frozen=True)
class DCBlocker:
    """A high-pass with its corner at `corner_hz`."""

    rate_hz: int
    corner_hz: float = 5.0

    @property
    def _pole(self) -> float:
        return math.exp(-2 * math.pi * self.corner_hz / self.rate_hz)

    @staticmethod
    def start(channels: int) -> DCState:
        """The state after silence."""
        return DCState(np.zeros(channels), np.zeros(channels))

    def process(
        self, state: DCState, samples: NDArray[np.float32]
    ) -> tuple[DCState, NDArray[np.float32]]:
        """The state after, and the output for, `samples` [C, N] of finite numbers."""
        parts = []
        for first in range(0, samples.shape[1], _MAX_BLOCK_SAMPLES):
            state, part = self._block(state, samples[:, first : first + _MAX_BLOCK_SAMPLES])
            parts.append(part)
        return state, np.concatenate(parts, axis=1) if parts else samples

    def _block(
        self, state: DCState, samples: NDArray[np.float32]
    ) -> tuple[DCState, NDArray[np.float32]]:
        decay = self._pole ** np.arange(1, samples.shape[1] + 1)
        x = np.empty((len(samples), samples.shape[1] + 1))  # with the last input before it
        x[:, 0] = state.last_in
        x[:, 1:] = samples
        y = decay * (state.last_out[:, None] + np.cumsum((x[:, 1:] - x[:, :-1]) / decay, axis=1))
        return DCState(x[:, -1], y[:, -1]), y.astype(np.float32)
