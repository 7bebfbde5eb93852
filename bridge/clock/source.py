"""Who says where the beats are: clock sources, by name.

A source is told what clients ask of the clock and answers with what to change. One that follows a
host gives anchors besides. Adding one is a call of `register`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from bridge.clock.anchor import Anchor, Quality
from bridge.clock.taps import Taps
from bridge.refusal import Refusal
from musicgen_rt.contract.timeline import BPM_RANGE

__all__ = ["ClockSource", "ClockSources", "HostClock", "SourceMaker", "Taps"]


class ClockSource(ABC):
    """One source while it is chosen. What it cannot do raises Refusal. [control]"""

    name: str

    @abstractmethod
    def tempo(self, bpm: float, at_ns: int) -> float:
        """A client asks for a tempo at this moment, which is now; the one to take."""

    def require_tempo(self, bpm: float) -> None:
        """Raise Refusal if `tempo` would: before it is kept for a moment to come."""
        del bpm

    @abstractmethod
    def signature(self, beats_per_bar: int) -> int:
        """A client asks for so many beats in a bar; the number to take."""

    @abstractmethod
    def tap(self, now_ns: int) -> Taps:
        """A client taps."""

    @abstractmethod
    def beat(self, beat: float, bpm: float | None, at_ns: int) -> None:
        """A client says which beat it is."""

    @abstractmethod
    def offset(self, offset_ms: float) -> None:
        """A client asks that our beats be later than the source's."""

    @abstractmethod
    def stop(self) -> None:
        """Another source was chosen."""

    def anchor(self, now_ns: int) -> Anchor | None:
        """Where the host's beats are now; None while that is not known, or nobody is followed."""
        del now_ns
        return None

    def quality(self, now_ns: int) -> Quality:
        """How far the anchors can be relied on now."""
        del now_ns
        return Quality(is_locked=True)

    def quantum(self, beats: int) -> None:
        """A client says after how many beats peers align their bars."""
        del beats

    def transport(self, is_playing: bool, at_ns: int) -> None:
        """A client lets the music begin or end at a moment: for hosts that go along."""
        del is_playing, at_ns


class HostClock(ClockSource):
    """A source that follows a host whose tempo is the host's business; others are based on it."""

    # What the host is called, and how its tempo is changed, for refusals.
    host = "the host"

    def tempo(self, bpm: float, at_ns: int) -> float:
        self.require_tempo(bpm)
        return bpm

    def require_tempo(self, bpm: float) -> None:
        raise Refusal(
            f"the tempo {bpm:g} is not ours to choose, clock/source is {self.name}: "
            f"set {BPM_RANGE[0]:g} to {BPM_RANGE[1]:g} in {self.host}, "
            "or choose /mgrt/clock/source internal"
        )

    def signature(self, beats_per_bar: int) -> int:
        return beats_per_bar

    def tap(self, now_ns: int) -> Taps:
        del now_ns
        raise Refusal(
            f"the tempo is not ours to tap, clock/source is {self.name}: tap in {self.host}, "
            "or choose /mgrt/clock/source internal"
        )

    def beat(self, beat: float, bpm: float | None, at_ns: int) -> None:
        del beat, bpm, at_ns
        raise Refusal(
            f"the beats come from {self.host}: to tell them, choose /mgrt/clock/source osc"
        )

    def offset(self, offset_ms: float) -> None:
        """Any offset is taken: whoever asks for anchors applies it."""


SourceMaker = Callable[[Anchor], ClockSource]


class ClockSources:
    """The sources that exist here."""

    def __init__(self) -> None:
        self._makers: dict[str, SourceMaker] = {}

    def register(self, name: str, maker: SourceMaker) -> None:
        """Let `maker` make the source `name`, in place of an earlier one of that name.

        It is told where the session is as the source is chosen: until there is a host, a source
        goes on from there. It may raise Refusal where the source cannot be used, and must not wait.
        """
        self._makers[name] = maker

    def make(self, name: str, session: Anchor) -> ClockSource:
        """A source of that name, for a session that is there now. Raises Refusal if there is none.

        The anchor's beats are those since the bar line, and its `beats_per_bar` is set.
        """
        maker = self._makers.get(name)
        if maker is None:
            raise Refusal(
                f"source {name!r} is not available: expected one of {', '.join(self._makers)}"
            )
        return maker(session)
