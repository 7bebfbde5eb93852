"""The internal clock: the tempo is what clients set or tap, and nobody else has beats."""

from __future__ import annotations

from statistics import median

from bridge.clock.source import ClockSource, ClockSources, Taps
from bridge.refusal import Refusal
from musicgen_rt.contract.timeline import BPM_RANGE

MIN_TAPS = 3
_MAX_TAPS = 9
_MINUTE_NS = 60 * 10**9
# Slower than the slowest tempo is not a tap of the same row any more.
_PAUSE_NS = int(_MINUTE_NS / BPM_RANGE[0])


class InternalClock(ClockSource):
    """Beats run by themselves."""

    name = "internal"

    def __init__(self) -> None:
        self._taps_ns: list[int] = []

    def tempo(self, bpm: float) -> float:
        self._taps_ns.clear()
        return bpm

    def signature(self, beats_per_bar: int) -> int:
        return beats_per_bar

    def tap(self, now_ns: int) -> Taps:
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
        bpm = round(_MINUTE_NS / median(gaps), 1)
        low, high = BPM_RANGE
        return Taps(count, min(max(bpm, low), high))

    def beat(self, beat: float, bpm: float | None, at_ns: int) -> None:
        raise Refusal(
            "the internal clock is not told its beats: choose a /mgrt/clock/source that is"
        )

    def offset(self, offset_ms: float) -> None:
        raise Refusal(
            "the internal clock follows nobody to be offset from: choose another "
            "/mgrt/clock/source first"
        )

    def stop(self) -> None:
        self._taps_ns.clear()


def built_in_sources() -> ClockSources:
    """The sources that need nothing else."""
    sources = ClockSources()
    sources.register(InternalClock.name, InternalClock)
    return sources
