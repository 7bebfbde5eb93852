"""Messages that wait for their time, in order of time and, at one time, of arrival."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Generic, TypeVar

from bridge.refusal import Refusal

HORIZON_SECONDS = 10
MAX_WAITING = 4096
_HORIZON_NS = HORIZON_SECONDS * 10**9

Item = TypeVar("Item")


class BundleQueue(Generic[Item]):
    """A bounded heap. [control]"""

    def __init__(self, max_waiting: int = MAX_WAITING) -> None:
        self._heap: list[tuple[int, int, Item]] = []
        self._max_waiting = max_waiting
        self._pushed = 0

    def __len__(self) -> int:
        return len(self._heap)

    def push(self, due_ns: int, item: Item, now_ns: int, ahead_ns: int = 0) -> None:
        """Keep an item until `ahead_ns` before `due_ns`.

        Raises Refusal if that is too far ahead or too much waits already.
        """
        if due_ns - now_ns > _HORIZON_NS:
            raise Refusal(
                f"its time tag is {(due_ns - now_ns) / 10**9:.3g} s ahead: expected at most "
                f"{HORIZON_SECONDS} s; check the clocks or send it later"
            )
        if len(self._heap) >= self._max_waiting:
            raise Refusal(
                f"{self._max_waiting} messages wait for their time already: send it later, or "
                "drop them with /mgrt/clear_sched"
            )
        self._pushed += 1
        heapq.heappush(self._heap, (due_ns - ahead_ns, self._pushed, item))

    def pop_due(self, now_ns: int) -> Iterator[Item]:
        """Take out what is due, in order."""
        while self._heap and self._heap[0][0] <= now_ns:
            yield heapq.heappop(self._heap)[2]

    def clear(self) -> int:
        """Drop everything; how many it was."""
        count = len(self._heap)
        self._heap.clear()
        return count
