"""A sequencer that sends MIDI clock in virtual time, with jitter, and its true position."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from bridge.clock.midi_position import MidiPosition

SECOND_NS = 10**9


@dataclass
class MidiSender:
    """Ticks are sent at their true times plus a uniform jitter, into `target`."""

    target: MidiPosition
    bpm: float = 120.0
    jitter_ms: float = 0.0
    now_ns: float = 1e12
    beat: float = 0.0
    seed: int = 1
    # True beat and time at each tick.
    ticks: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    @property
    def period_ns(self) -> float:
        return 60 * SECOND_NS / (24 * self.bpm)

    def send(self, *data: int) -> None:
        self.target.take(data, round(self.now_ns))

    def start(self) -> None:
        self.send(0xFA)
        self.beat = 0.0

    def tick(self, *, is_lost: bool = False) -> None:
        late_ns = self.random.uniform(-self.jitter_ms, self.jitter_ms) * 1e6
        if not is_lost:
            self.target.take([0xF8], round(self.now_ns + late_ns))
        self.ticks.append((self.now_ns, self.beat))
        self.now_ns += self.period_ns
        self.beat += 1 / 24

    def run(self, seconds: float, *, is_lost: bool = False) -> None:
        until_ns = self.now_ns + seconds * SECOND_NS
        while self.now_ns < until_ns:
            self.tick(is_lost=is_lost)

    def error_ms(self) -> float:
        """How far the receiver is from the truth now."""
        anchor = self.target.anchor(round(self.now_ns))
        assert anchor is not None
        return (anchor.beat_at(self.now_ns) - self.beat) * 60_000 / self.bpm
