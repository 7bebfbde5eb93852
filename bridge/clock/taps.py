"""Tapping a tempo."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from bridge.clock.anchor import MINUTE_NS
from musicgen_rt.contract.timeline import BPM_RANGE

MIN_TAPS = 3
_MAX_TAPS = 9
# Slower than the slowest tempo is not a tap of the same row any more.
_PAUSE_NS = int(MINUTE_NS / BPM_RANGE[0])


@dataclass(frozen=True)
class Taps:
    """How many taps in a row there were, and the tempo they show (None: too few to tell)."""

    count: int
    bpm: float | None


class TapRow:
    """The last taps. [control]"""

    def __init__(self) -> None:
        self._taps_ns: list[int] = []

    def clear(self) -> None:
        """The next tap is the first."""
        self._taps_ns.clear()

    def tap(self, now_ns: int) -> Taps:
        """One more; a tempo from the third on."""
        if self._taps_ns and not 0 < now_ns - self._taps_ns[-1] <= _PAUSE_NS:
            self._taps_ns.clear()
        self._taps_ns = [*self._taps_ns, now_ns][-_MAX_TAPS:]
        count = len(self._taps_ns)
        if count < MIN_TAPS:
            return Taps(count, None)
        gaps = [
            later - earlier
            for earlier, later in zip(self._taps_ns, self._taps_ns[1:], strict=False)
        ]
        # One clumsy tap must not count.
        bpm = round(MINUTE_NS / median(gaps), 1)
        low, high = BPM_RANGE
        return Taps(count, min(max(bpm, low), high))
