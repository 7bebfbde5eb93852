"""What is known of a child process, from its own messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

LOWEST_DB = -120.0


@dataclass(frozen=True)
class BeatsHeard:
    """How the engine hears the music's beats: what its lock does, how sure, how late they were."""

    lock: str = "searching"
    confidence: float = 0.0
    late_ms: float = 0.0

    def differs(self, other: BeatsHeard) -> bool:
        """Whether anybody would want to be told of the difference."""
        return self.lock != other.lock or abs(self.confidence - other.confidence) > 0.1


NO_BEATS = BeatsHeard()


@dataclass
class EngineState:
    """The engine. Until it is ready its controls are only kept for it. [control]"""

    is_ready: bool = False
    was_ready: bool = False
    failure: str | None = None
    progress: float = 0.0
    progress_text: str = ""
    steps_per_second: float = 0.0
    beats: BeatsHeard = NO_BEATS
    # As subscribers were told.
    told_beats: BeatsHeard = NO_BEATS
    # What it was told at its start; what differs by then follows when it is ready.
    told: frozenset[tuple[str, tuple[Any, ...]]] = frozenset()

    def begin(self, calls: Iterable[tuple[str, tuple[Any, ...]]]) -> None:
        """A new engine starts, and is told these."""
        self.is_ready = False
        self.failure = None
        self.progress, self.progress_text = 0.0, ""
        self.told = frozenset(calls)

    @property
    def absence(self) -> str:
        """Why it cannot do anything now, and what to do."""
        if self.failure is not None:
            return f"the model cannot be played: {self.failure}"
        if self.was_ready:
            return "the engine is starting again: try once more in a few seconds"
        return f"the model is loading ({self.progress:.0%}): wait for /mgrt/startup"


@dataclass
class PlayoutState:
    """The playout. [control]"""

    is_ready: bool = False
    # What it was told at its start; what differs by then follows when it is ready.
    told: Mapping[str, Any] = field(default_factory=dict)
    # What the next start message has in place of the configuration's: the device chosen since.
    wish: Mapping[str, Any] = field(default_factory=dict)
    is_fallback: bool = False
    underruns: int = 0
    # Of playouts before this one.
    earlier_underruns: int = 0
    peak_db: float = LOWEST_DB
    rms_db: float = LOWEST_DB
    # Where the playhead stands, None while it moves.
    standing_sample: int | None = None

    def begin(self, told: Mapping[str, Any]) -> None:
        """A new playout starts, and is told this."""
        self.is_ready = False
        self.told = told

    def end(self) -> None:
        """It has ended; another one counts from 0."""
        self.is_ready = self.is_fallback = False
        self.earlier_underruns += self.underruns
        self.underruns = 0
        self.peak_db = self.rms_db = LOWEST_DB
