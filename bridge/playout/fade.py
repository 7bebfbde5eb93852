"""Fades: the curve that every transition follows, and gains that change along it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def fade_in(count: int) -> NDArray[np.float32]:
    """A raised cosine [count] from just above 0 to just below 1; 1 minus it is its mirror image."""
    phase = (np.arange(count) + 1) / (count + 1)
    return (0.5 - 0.5 * np.cos(np.pi * phase)).astype(np.float32)


def mix(
    outgoing: NDArray[np.float32], incoming: NDArray[np.float32], weights: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Both [C, N] by `weights` [N] of the incoming; their gains add up to 1."""
    return outgoing * (1 - weights) + incoming * weights


@dataclass(frozen=True)
class Ramp:
    """A gain that goes from one value to another between two session samples."""

    start_sample: int
    end_sample: int
    from_gain: float
    to_gain: float

    @classmethod
    def constant(cls, gain: float) -> Ramp:
        return cls(0, 0, gain, gain)

    def is_over(self, sample: int) -> bool:
        """Whether the gain no longer changes from `sample` on."""
        return sample >= self.end_sample

    def at(self, sample: int) -> float:
        """The gain at one sample."""
        return float(self.gains(sample, 1)[0])

    def gains(self, first_sample: int, count: int) -> NDArray[np.float32]:
        """The gains [count] from `first_sample` on."""
        if self.from_gain == self.to_gain or first_sample >= self.end_sample:
            return np.full(count, self.to_gain, np.float32)
        length = self.end_sample - self.start_sample
        phase = (np.arange(first_sample, first_sample + count) - self.start_sample + 1) / length
        curve = 0.5 - 0.5 * np.cos(np.pi * np.clip(phase, 0.0, 1.0))
        return (self.from_gain + (self.to_gain - self.from_gain) * curve).astype(np.float32)
