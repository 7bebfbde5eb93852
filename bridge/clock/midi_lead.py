"""MIDI clock out: which ticks, starts and stops fall into a block of frames when we lead."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from bridge.clock.midi_position import CLOCK, START, STOP, TICKS_PER_BEAT


@dataclass(frozen=True)
class Lead:
    """At `frame` our own beat is `beat`."""

    frame: float
    beat: float
    bpm: float
    rate_hz: int
    is_playing: bool
    beats_per_bar: int

    @property
    def frames_per_tick(self) -> float:
        return 60 * self.rate_hz / (self.bpm * TICKS_PER_BEAT)

    def tick_at(self, frame: float) -> float:
        return self.beat * TICKS_PER_BEAT + (frame - self.frame) / self.frames_per_tick

    def frame_of(self, tick: int) -> float:
        return self.frame + (tick - self.beat * TICKS_PER_BEAT) * self.frames_per_tick


class TickWriter:
    """Each tick once and in order, whatever the anchors do. [JACK], but for `lead`.

    Who follows counts ticks from a start on. So where our bars jump it is stopped, and started with
    the next bar line; a jump by whole bars, and a correction by less than a beat, it need not know.
    """

    def __init__(self) -> None:
        self._lead: Lead | None = None
        self._next_tick: int | None = None
        self._bar_ticks = 0
        self._has_started = False

    def lead(self, lead: Lead) -> None:
        """[any] Where our beats are from now on; one value for one name, seen whole."""
        self._lead = lead

    def between(self, first_frame: int, frames: int) -> Iterator[tuple[int, int]]:
        """Offset and status byte of what is to be sent in a block."""
        lead = self._lead
        if lead is None:
            return
        if not lead.is_playing and self._has_started:
            self._has_started = False
            yield 0, STOP
        tick = math.ceil(lead.tick_at(first_frame))
        jump = self._jump_ticks(tick, lead.beats_per_bar * TICKS_PER_BEAT)
        if abs(jump) < TICKS_PER_BEAT:
            tick -= jump  # small corrections neither repeat nor skip one
        elif self._has_started:
            self._has_started = False
            yield 0, STOP
        while (offset := round(lead.frame_of(tick)) - first_frame) < frames:
            if (
                lead.is_playing
                and not self._has_started
                and tick % (lead.beats_per_bar * TICKS_PER_BEAT) == 0
            ):
                self._has_started = True
                yield max(0, offset), START
            yield max(0, offset), CLOCK
            tick += 1
        self._next_tick = tick

    def _jump_ticks(self, tick: int, bar_ticks: int) -> int:
        """How many ticks further than the one that is due, but for whole bars."""
        is_same_bar, self._bar_ticks = bar_ticks == self._bar_ticks, bar_ticks
        if self._next_tick is None or not is_same_bar:  # bars are counted otherwise now
            return 0
        return (tick - self._next_tick + bar_ticks // 2) % bar_ticks - bar_ticks // 2
