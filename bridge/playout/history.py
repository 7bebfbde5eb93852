"""The history: what was played of the engine's music and was good, to fall back on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Stretch(NamedTuple):
    """Session samples [start, end) without a hole."""

    start: int
    end: int


class History:
    """The last `capacity_samples` of good music by session sample. [pump]"""

    def __init__(self, channels: int, capacity_samples: int) -> None:
        self._ring = np.zeros((channels, capacity_samples), np.float32)  # [C, capacity]
        self._stretches: list[Stretch] = []

    @property
    def stretches(self) -> tuple[Stretch, ...]:
        """What is kept, oldest first."""
        return tuple(self._stretches)

    def append(self, first_sample: int, samples: NDArray[np.float32]) -> None:
        """Keep `samples` [C, N], which lie behind everything that is kept."""
        count = samples.shape[1]
        if count == 0:
            return
        capacity = self._ring.shape[1]
        end = first_sample + count
        kept = samples[:, -capacity:]
        self._ring[:, np.arange(end - kept.shape[1], end) % capacity] = kept
        if self._stretches and self._stretches[-1].end == first_sample:
            self._stretches[-1] = Stretch(self._stretches[-1].start, end)
        else:
            self._stretches.append(Stretch(first_sample, end))
        oldest = end - capacity
        self._stretches = [
            Stretch(max(stretch.start, oldest), stretch.end)
            for stretch in self._stretches
            if stretch.end > oldest
        ]

    def read(self, first_sample: int, count: int) -> NDArray[np.float32]:
        """The samples [C, count] from `first_sample` on, zeros where nothing is kept."""
        positions = np.arange(first_sample, first_sample + count)
        samples = self._ring[:, positions % self._ring.shape[1]]
        is_kept = np.zeros(count, bool)
        for stretch in self._stretches:
            is_kept |= (positions >= stretch.start) & (positions < stretch.end)
        samples[:, ~is_kept] = 0.0
        return samples

    def holds(self, first_sample: int, end_sample: int) -> bool:
        """Whether all of [first_sample, end_sample) is kept."""
        return any(s.start <= first_sample and end_sample <= s.end for s in self._stretches)
