"""The meter: the levels of what leaves, since it was last read."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SILENCE_DB = -200.0


@dataclass(frozen=True)
class Levels:
    """In dBFS; `limiter_db` is the limiter's deepest reduction, 0 or less."""

    peak_db: float
    rms_db: float
    limiter_db: float


class Meter:
    """Adds up blocks [N, C]. [pump]"""

    def __init__(self) -> None:
        self._peak = 0.0
        self._energy = 0.0
        self._count = 0
        self._gain = 1.0

    def add(self, samples: NDArray[np.float32], gain: float) -> None:
        """Measure a block that left, and the limiter's lowest gain in it."""
        if samples.size == 0:
            return
        self._peak = max(self._peak, float(np.abs(samples).max()))
        self._energy += float(np.vdot(samples, samples))
        self._count += samples.size
        self._gain = min(self._gain, gain)

    def read(self) -> Levels:
        """The levels since the last call."""
        mean = self._energy / self._count if self._count else 0.0
        levels = Levels(_db(self._peak), _db(math.sqrt(mean)), _db(self._gain))
        self._peak = self._energy = 0.0
        self._count = 0
        self._gain = 1.0
        return levels


def _db(level: float) -> float:
    return 20 * math.log10(level) if level > 10 ** (SILENCE_DB / 20) else SILENCE_DB
