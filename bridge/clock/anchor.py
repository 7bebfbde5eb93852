"""An anchor: which beat the host is at, at which moment; and how well that is known."""

from __future__ import annotations

from dataclasses import dataclass, replace

MINUTE_NS = 60 * 10**9


@dataclass(frozen=True)
class Anchor:
    """At `time_ns` (monotonic, as heard) the host is at `beat`, at a tempo of `bpm`.

    Bar lines lie on the multiples of `beats_per_bar`; None leaves the signature to the session.
    `is_playing` is None for hosts that have no transport. While `is_running` is False the beats
    stand still, and only the tempo is worth following. Peers that align their bars modulo a number
    of beats have it in `quantum_beats`; where they say from when on they play, or do not, it is
    `playing_from_ns`, which may be to come.
    """

    time_ns: int
    beat: float
    bpm: float
    is_playing: bool | None = None
    beats_per_bar: int | None = None
    is_running: bool = True
    quantum_beats: int | None = None
    playing_from_ns: int | None = None

    def beat_at(self, time_ns: float) -> float:
        """The host's beat at another moment, if its tempo stays."""
        return self.beat + (time_ns - self.time_ns) * self.bpm / MINUTE_NS

    def time_of_ns(self, beat: float) -> int:
        """When the host will be, or was, at a beat; the inverse of `beat_at`."""
        return self.time_ns + round((beat - self.beat) * MINUTE_NS / self.bpm)

    def place_at(self, time_ns: float, beats_per_bar: int) -> float:
        """The beats since the bar line at another moment, in bars of so many beats."""
        return self.beat_at(time_ns) % (self.quantum_beats or beats_per_bar) % beats_per_bar

    def later(self, shift_ns: int) -> Anchor:
        """The same beats, so much later; a negative shift is earlier."""
        from_ns = None if self.playing_from_ns is None else self.playing_from_ns + shift_ns
        return replace(self, time_ns=self.time_ns + shift_ns, playing_from_ns=from_ns)


@dataclass(frozen=True)
class Quality:
    """How far a source can be relied on.

    `jitter_ms` is the standard deviation of what arrives around what was expected.
    """

    is_locked: bool
    jitter_ms: float = 0.0
