"""The OSC clock: a program says which beat it is, when it likes and with a time tag if it can.

Messages of one program travel a network and wait in queues, so what they say jitters. Each one is
weighed against what the ones before it make likely; one that is far off is a jump of the program.
"""

from __future__ import annotations

import math
from dataclasses import replace

from bridge.clock.anchor import MINUTE_NS, Anchor, Quality
from bridge.clock.source import HostClock
from bridge.clock.taps import TapRow, Taps
from musicgen_rt.contract.timeline import BPM_RANGE

# So much of an error counts at first, and in the end.
_FIRST_WEIGHT = 0.5
_WEIGHT = 0.1
_SETTLING_MESSAGES = 8
# Further off than this is no jitter.
_JUMP_NS = 60_000_000
# A jump of the tempo that a message names, as a share of it.
_TEMPO_CHANGE = 0.005
_SILENCE_NS = 10 * 10**9
_MIN_LOCKED = 4
_DEFAULT_BPM = 120.0


class OscClock(HostClock):
    """Beats by `/mgrt/clock/beat`, tempo also by `/mgrt/clock/tempo` and `/mgrt/clock/tap`."""

    name = "osc"
    host = "the program that sends /mgrt/clock/beat"

    def __init__(self, bpm: float = _DEFAULT_BPM) -> None:
        self._bpm = bpm
        self._taps = TapRow()
        self._anchor: Anchor | None = None
        self._count = 0
        self._last_ns = 0
        self._variance_ns2 = 0.0

    def require_tempo(self, bpm: float) -> None:
        """Any tempo is taken."""

    def tempo(self, bpm: float, at_ns: int) -> float:
        self._taps.clear()
        self._set_tempo(bpm, at_ns)
        return bpm

    def tap(self, now_ns: int) -> Taps:
        taps = self._taps.tap(now_ns)
        if taps.bpm is not None:
            self._set_tempo(taps.bpm, now_ns)
        return taps

    def beat(self, beat: float, bpm: float | None, at_ns: int) -> None:
        """The program is at `beat` at `at_ns`; without a tempo it is found from the beats."""
        before = self._anchor
        if before is None or (bpm is not None and abs(bpm / self._bpm - 1) > _TEMPO_CHANGE):
            self._begin(beat, self._bpm if bpm is None else bpm, at_ns)
            return
        ahead_beats = beat - before.beat_at(at_ns)
        error_ns = ahead_beats * MINUTE_NS / self._bpm
        if abs(error_ns) > _JUMP_NS and beat < before.beat_at(self._last_ns):
            # A loop of whole beats: the tempo goes on through it, and all that is known of it.
            loop_ns = round(ahead_beats) * MINUTE_NS / self._bpm
            if self._count > 1 and abs(error_ns - loop_ns) <= _JUMP_NS:
                self._anchor = replace(before, beat=before.beat + round(ahead_beats))
                error_ns -= loop_ns
        if abs(error_ns) > _JUMP_NS:
            found = self._bpm if bpm is None else bpm
            if bpm is None:
                found = self._tempo_of_jump(before, beat, at_ns)
            self._begin(beat, found, at_ns)
            return
        self._follow(error_ns, bpm, at_ns)

    def anchor(self, now_ns: int) -> Anchor | None:
        return self._anchor

    def quality(self, now_ns: int) -> Quality:
        is_fresh = now_ns - self._last_ns < _SILENCE_NS
        is_locked = self._count >= _MIN_LOCKED and is_fresh
        return Quality(is_locked, math.sqrt(self._variance_ns2) / 1e6)

    def stop(self) -> None:
        self._taps.clear()

    def _set_tempo(self, bpm: float, at_ns: int) -> None:
        self._bpm = bpm
        if self._anchor is not None:
            self._anchor = Anchor(at_ns, self._anchor.beat_at(at_ns), bpm)

    def _begin(self, beat: float, bpm: float, at_ns: int) -> None:
        self._bpm = bpm
        self._anchor = Anchor(at_ns, beat, bpm)
        self._count = 1
        self._last_ns = at_ns
        self._variance_ns2 = 0.0

    def _follow(self, error_ns: float, bpm: float | None, at_ns: int) -> None:
        assert self._anchor is not None
        share = math.exp(-self._count / _SETTLING_MESSAGES)
        weight = max(_WEIGHT, _FIRST_WEIGHT * share)
        if bpm is not None:
            self._bpm = bpm
        elif at_ns > self._last_ns:
            # A second-order loop, critically damped: what is left of the error changes the tempo.
            elapsed_ns = at_ns - self._last_ns
            self._bpm *= 1 + weight * weight / 4 * error_ns / elapsed_ns
            self._bpm = min(max(self._bpm, BPM_RANGE[0]), BPM_RANGE[1])
        beat = self._anchor.beat_at(at_ns) + weight * error_ns * self._bpm / MINUTE_NS
        self._anchor = Anchor(at_ns, beat, self._bpm)
        self._variance_ns2 += weight * (error_ns**2 - self._variance_ns2)
        self._count += 1
        self._last_ns = at_ns

    def _tempo_of_jump(self, before: Anchor, beat: float, at_ns: int) -> float:
        """The tempo that two messages in a row show, if it is one; else the one that was."""
        elapsed_ns = at_ns - self._last_ns
        beats = beat - before.beat_at(self._last_ns)
        if elapsed_ns <= 0 or not 0 < beats <= 16:
            return self._bpm
        bpm = beats * MINUTE_NS / elapsed_ns
        return bpm if BPM_RANGE[0] <= bpm <= BPM_RANGE[1] else self._bpm
