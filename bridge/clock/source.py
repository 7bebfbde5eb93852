"""Who says where the beats are: clock sources, by name.

A source is told what clients ask of the clock and answers with what to change. Adding one is a
call of `register`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from bridge.refusal import Refusal


@dataclass(frozen=True)
class Taps:
    """How many taps in a row there were, and the tempo they show (None: too few to tell)."""

    count: int
    bpm: float | None


class ClockSource(ABC):
    """One source while it is chosen. What it cannot do raises Refusal. [control]"""

    name: str

    @abstractmethod
    def tempo(self, bpm: float) -> float:
        """A client asks for a tempo; the one to take."""

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


class ClockSources:
    """The sources that exist here."""

    def __init__(self) -> None:
        self._makers: dict[str, Callable[[], ClockSource]] = {}

    def register(self, name: str, maker: Callable[[], ClockSource]) -> None:
        """Let `maker` make the source `name`, in place of an earlier one of that name."""
        self._makers[name] = maker

    def make(self, name: str) -> ClockSource:
        """A source of that name. Raises Refusal if there is none."""
        maker = self._makers.get(name)
        if maker is None:
            raise Refusal(
                f"source {name!r} is not available: expected one of {', '.join(self._makers)}"
            )
        return maker()
