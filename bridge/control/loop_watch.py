"""Whether the event loop comes round: the longest that one turn of it has taken."""

from __future__ import annotations

import time
from collections.abc import Callable


class LoopWatch:
    """Told once a turn. [control]

    `gap_seconds` is the longest time between two turns. Another program may have had the processor
    meanwhile; `busy_seconds` is the most processor time that this thread itself took for one.
    """

    def __init__(
        self,
        now_ns: Callable[[], int] = time.monotonic_ns,
        used_ns: Callable[[], int] = time.thread_time_ns,
    ) -> None:
        self._now_ns, self._used_ns = now_ns, used_ns
        self._last: tuple[int, int] | None = None
        self._gap_ns = self._busy_ns = 0

    def turn(self) -> None:
        """The loop has come round."""
        now, used = self._now_ns(), self._used_ns()
        if self._last is not None:
            self._gap_ns = max(self._gap_ns, now - self._last[0])
            self._busy_ns = max(self._busy_ns, used - self._last[1])
        self._last = now, used

    @property
    def gap_seconds(self) -> float:
        return self._gap_ns / 1e9

    @property
    def busy_seconds(self) -> float:
        return self._busy_ns / 1e9
