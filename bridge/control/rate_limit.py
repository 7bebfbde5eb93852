"""How often something may happen: a bucket that fills with time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass


@dataclass(frozen=True)
class Rate:
    """So many a second on average, so many at once."""

    per_second: float
    burst: float


class RateLimit:
    """A bucket of permissions for each key; of many keys the least recently seen are forgotten.

    [control]
    """

    def __init__(self, rate: Rate, max_keys: int = 1024) -> None:
        self._rate = rate
        self._max_keys = max_keys
        self._buckets: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()

    def permits(self, key: Hashable, now_ns: int, cost: float = 1.0) -> bool:
        """Whether it may happen now; if so it is counted."""
        left, seen_ns = self._buckets.pop(key, (self._rate.burst, now_ns))
        left += (now_ns - seen_ns) * self._rate.per_second / 1e9
        left = min(left, self._rate.burst)
        is_permitted = left >= cost
        self._buckets[key] = (left - cost if is_permitted else left, now_ns)
        if len(self._buckets) > self._max_keys:
            self._buckets.popitem(last=False)
        return is_permitted
