"""The internal clock: the tempo is what clients set or tap, and nobody else has beats."""

from __future__ import annotations

from bridge.clock.source import ClockSource, ClockSources
from bridge.clock.taps import TapRow, Taps
from bridge.refusal import Refusal


class InternalClock(ClockSource):
    """Beats run by themselves."""

    name = "internal"

    def __init__(self) -> None:
        self._taps = TapRow()

    def tempo(self, bpm: float, at_ns: int) -> float:
        self._taps.clear()
        return bpm

    def signature(self, beats_per_bar: int) -> int:
        return beats_per_bar

    def tap(self, now_ns: int) -> Taps:
        return self._taps.tap(now_ns)

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
        self._taps.clear()


def built_in_sources() -> ClockSources:
    """The sources that need nothing else."""
    sources = ClockSources()
    sources.register(InternalClock.name, lambda _: InternalClock())
    return sources
