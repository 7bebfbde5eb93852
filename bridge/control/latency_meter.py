"""How long it takes from a command to its sound."""

from __future__ import annotations

from collections import deque

_TRIALS = 100


class LatencyMeter:
    """The last commands that were to be heard at once. [control]"""

    def __init__(self) -> None:
        self._times_ms: deque[float] = deque(maxlen=_TRIALS)
        self._is_new = False

    def add(self, time_ms: float) -> None:
        self._times_ms.append(time_ms)
        self._is_new = True

    @property
    def percentiles(self) -> tuple[float, float]:
        """The 50th and the 95th percentile in ms; 0 before the first."""
        ordered = sorted(self._times_ms)
        if not ordered:
            return 0.0, 0.0
        return ordered[len(ordered) // 2], ordered[len(ordered) * 95 // 100]

    def take_news(self) -> tuple[float, float] | None:
        """The percentiles if they are not those of the last call."""
        if not self._is_new:
            return None
        self._is_new = False
        return self.percentiles
