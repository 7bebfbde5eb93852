"""MIDI clock, start, stop, continue and song position, as one state machine.

By the MIDI 1.0 specification: 24 clocks a quarter note; the first clock after a start is position
0, after a continue it is the song position; a song position counts sixteenths, and is ignored while
the song runs. Hosts that loop send stop, song position and continue in one go: no stop is meant.
"""

from __future__ import annotations

from collections.abc import Sequence

from bridge.clock.anchor import MINUTE_NS, Anchor, Quality
from bridge.clock.tick_loop import TickLoop
from musicgen_rt.contract.timeline import BPM_RANGE

CLOCK, START, CONTINUE, STOP, SONG_POSITION = 0xF8, 0xFA, 0xFB, 0xFC, 0xF2
CLOCK_MESSAGES = frozenset((CLOCK, START, CONTINUE, STOP, SONG_POSITION))

TICKS_PER_BEAT = 24
_TICKS_PER_SIXTEENTH = 6
# A stop that is followed by a start within this is a loop's.
_LOOP_NS = 60_000_000
# Without a tick for longer, the tempo is carried on but no longer known.
_SILENCE_NS = 250_000_000
_SILENCE_TICKS = 4


class MidiPosition:
    """Bytes with their times in, anchors out. [control]"""

    def __init__(self) -> None:
        self._loop = TickLoop()
        # The song's tick at the loop's tick 0, and where the song begins at the next clock.
        self._first_tick = 0
        self._begin_tick: int | None = None
        # Where it goes on: a stop after a clock leaves the tick that follows to be played.
        self._song_ticks = 0
        self._is_running = False
        self._has_transport = False
        # Whether it played before a start whose first clock has not come yet.
        self._was_playing: bool | None = None
        self._stopped_ns: int | None = None
        self._changed_ns = 0

    def take(self, data: Sequence[int], time_ns: int) -> None:
        """One message, as bytes; others than those of the clock are passed over."""
        if not data:
            return
        status = data[0]
        if status == CLOCK:
            self._clock(time_ns)
        elif status == START:
            self._go(0, time_ns)
        elif status == CONTINUE:
            self._go(self._song_ticks, time_ns)
        elif status == STOP:
            self._stop(time_ns)
        elif status == SONG_POSITION and len(data) == 3 and not self._is_running:
            self._song_ticks = ((data[2] & 0x7F) << 7 | data[1] & 0x7F) * _TICKS_PER_SIXTEENTH

    def anchor(self, now_ns: int) -> Anchor | None:
        """Where the song is; None until two clocks have come."""
        loop = self._loop
        if not loop.is_running:
            return None
        bpm = MINUTE_NS / (TICKS_PER_BEAT * loop.period_ns)
        if not BPM_RANGE[0] <= bpm <= BPM_RANGE[1]:
            return None
        tick = self._first_tick + loop.tick_at(now_ns)
        is_playing = self._is_playing(now_ns)
        return Anchor(
            now_ns,
            tick / TICKS_PER_BEAT,
            bpm,
            is_playing,
            is_running=is_playing is not False,
            playing_from_ns=self._changed_ns if self._has_transport else None,
        )

    def quality(self, now_ns: int) -> Quality:
        """Locked while ticks come as expected."""
        loop = self._loop
        silence_ns = max(_SILENCE_NS, _SILENCE_TICKS * loop.period_ns)
        is_locked = loop.is_settled and now_ns - loop.last_ns < silence_ns
        return Quality(is_locked, loop.jitter_ns / 1e6)

    def _clock(self, time_ns: int) -> None:
        self._loop.tick(time_ns)
        if self._begin_tick is not None:
            self._first_tick = self._begin_tick - self._loop.count
            self._begin_tick = None
        if self._is_running:
            self._song_ticks = self._first_tick + self._loop.count + 1

    def _go(self, tick: int, time_ns: int) -> None:
        self._was_playing = self._is_playing(time_ns)
        if not self._is_running:
            self._changed_ns = time_ns
        self._is_running = self._has_transport = True
        self._stopped_ns = None
        self._begin_tick = self._song_ticks = tick

    def _stop(self, time_ns: int) -> None:
        self._has_transport = True
        if self._is_running:
            self._is_running = False
            self._stopped_ns = self._changed_ns = time_ns

    def _is_playing(self, now_ns: int) -> bool | None:
        """Whether the song runs; None from a sender that never spoke of it."""
        if not self._has_transport:
            return None
        if self._is_running:  # from the first clock on: only then its place is known
            return True if self._begin_tick is None else self._was_playing
        return self._stopped_ns is not None and now_ns - self._stopped_ns < _LOOP_NS
