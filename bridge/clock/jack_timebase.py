"""Bars and beats of JACK's transport: read where somebody says them, and said where nobody does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

BBT, _BBT_OFFSET = 0x10, 0x40  # JackPositionBBT, JackBBTFrameOffset in jack/types.h
_TICKS_PER_BEAT = 1920.0
_BEAT_TYPE = 4.0


@dataclass(frozen=True)
class Found:
    """The beat at the position's frame, bars on multiples of `beats_per_bar`."""

    beat: float
    bpm: float
    beats_per_bar: int


@dataclass(frozen=True)
class Map:
    """From `frame` on, where `beat` is, a constant tempo."""

    frame: int
    beat: float
    bpm: float

    def beat_at(self, frame: float, rate_hz: int) -> float:
        return self.beat + (frame - self.frame) / rate_hz * self.bpm / 60


class Timebase:
    """Our own tempo over the transport's frames. `callback` belongs to JACK's thread.

    A change is one new value for one name, which a thread sees whole or not at all.
    """

    def __init__(self, bpm: float, beats_per_bar: int) -> None:
        self._map = Map(0, 0.0, bpm)
        self._wanted_bpm = bpm
        self._beats_per_bar = beats_per_bar
        # How often JACK has asked, and the tempo that it was told last.
        self.calls = 0
        self.told_bpm: float | None = None

    def set_tempo(self, bpm: float) -> None:
        """From the next position on; beats go on without a jump."""
        self._wanted_bpm = bpm

    def set_signature(self, beats_per_bar: int) -> None:
        """Another number of beats in a bar."""
        self._beats_per_bar = beats_per_bar

    def go_on(self, frame: int, theirs: Found) -> None:
        """Say on what somebody else has said up to a frame of the transport."""
        self._map = Map(frame, theirs.beat, theirs.bpm)
        self._wanted_bpm, self._beats_per_bar = theirs.bpm, theirs.beats_per_bar

    def found_at(self, frame: int, rate_hz: int) -> Found:
        """Bar and beat at a frame of the transport."""
        if self._wanted_bpm != self._map.bpm:
            beat = self._map.beat_at(frame, rate_hz)
            self._map = replace(self._map, frame=frame, beat=beat, bpm=self._wanted_bpm)
        now = self._map
        return Found(now.beat_at(frame, rate_hz), now.bpm, self._beats_per_bar)

    def callback(self, state: int, frames: int, position: Any, is_new: bool) -> None:
        """[JACK] Fill in bar, beat and tick at the position's frame."""
        del state, frames, is_new
        found = self.found_at(int(position.frame), int(position.frame_rate))
        beats = found.beats_per_bar
        bar, place = divmod(max(0.0, found.beat), beats)
        position.valid = BBT
        position.bar = int(bar) + 1
        position.beat = int(place) + 1
        position.tick = int(place % 1 * _TICKS_PER_BEAT)
        position.bar_start_tick = bar * beats * _TICKS_PER_BEAT
        position.beats_per_bar = float(beats)
        position.beat_type = _BEAT_TYPE
        position.ticks_per_beat = _TICKS_PER_BEAT
        position.beats_per_minute = self.told_bpm = found.bpm
        self.calls += 1


def beat_of(position: Any, own: Timebase | None, rate_hz: int) -> Found | None:
    """What a position says, by whoever says it; None if it says nothing of use."""
    if not position.valid & BBT:
        return None if own is None else own.found_at(int(position.frame), rate_hz)
    beats, bpm = round(position.beats_per_bar), float(position.beats_per_minute)
    if not (1 <= beats <= 16 and 20 <= bpm <= 999 and position.ticks_per_beat > 0):
        return None
    beat = (position.bar - 1) * beats + position.beat - 1
    beat += position.tick / position.ticks_per_beat
    if position.valid & _BBT_OFFSET:
        beat -= position.bbt_offset / rate_hz * bpm / 60
    return Found(float(beat), bpm, beats)
