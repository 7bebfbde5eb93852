"""The lock: from readings of where heard beats are, what is believed of them, and what to do.

A state is a value; a reading gives another one. Time is counted in beats of the asked clock. The
belief is that of an alpha-beta filter (a fixed-gain Kalman filter of a place and a speed), which a
surprise that repeats itself starts anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from musicgen_rt.live.beat_comb import BeatReading

# The most that the music is hastened or slowed, as a share of its speed.
MAX_WARP = 0.06

_TRUSTED = 0.25
# The average of readings must be this sure to begin to move the music, and so sure to go on.
_SURE, _STILL_SURE = 0.5, 0.2
_READINGS_TO_LOCK = 2
_READINGS_TO_MISTRUST = 3
# So long a belief outlives what supports it; then the music is left alone.
_HELD_BEATS = 16.0
_NEAR_BEATS = 0.10
_PLACE_GAIN = 0.6
_SPEED_GAIN = 0.25
_READ_SPEED_GAIN = 0.15
_NEWEST_CONFIDENCE = 0.4
_MAX_SPEED_ERROR = 0.08


class LockState(Enum):
    """What the lock is doing."""

    OFF = "off"
    SEARCHING = "searching"  # no beats are heard, or not yet the same ones twice
    LOCKED = "locked"
    HOLDING = "holding"  # beats were heard a short while ago: they are taken to go on


@dataclass(frozen=True)
class Belief:
    """Where the music's beats are: at the clock's beat `at_beat` it stands `ahead_beats` further,
    and runs `tempo_error` faster.
    """

    at_beat: float
    ahead_beats: float
    tempo_error: float

    def at(self, beat: float) -> Belief:
        """The same belief, told for another beat of the clock."""
        ahead = self.ahead_beats + self.tempo_error * (beat - self.at_beat)
        return replace(self, at_beat=beat, ahead_beats=ahead)


@dataclass(frozen=True)
class BeatLock:
    """The lock of one stream. `confidence` is 0 to 1; `support` is that of the last reading."""

    state: LockState = LockState.SEARCHING
    belief: Belief | None = None
    confidence: float = 0.0
    last_heard_beat: float = 0.0
    agreeing: int = 0
    surprising: int = 0
    relocks: int = 0
    support: float = 0.0

    @property
    def is_acting(self) -> bool:
        """Whether the music is to be moved."""
        return self.belief is not None and self.state in (LockState.LOCKED, LockState.HOLDING)

    def heard(self, reading: BeatReading, at_beat: float) -> BeatLock:
        """The lock after a reading that ends at a beat of the asked clock."""
        part = _NEWEST_CONFIDENCE
        confidence = (1 - part) * self.confidence + part * reading.confidence
        lock = replace(self, confidence=confidence, support=reading.support)
        if reading.confidence < _TRUSTED:
            return lock._unheard(at_beat)
        new = Belief(at_beat, reading.ahead_beats, reading.tempo_error)
        if lock.belief is None:
            return replace(lock, belief=new, agreeing=1, last_heard_beat=at_beat)
        expected = lock.belief.at(at_beat)
        surprise = _wrapped(reading.ahead_beats - expected.ahead_beats)
        if abs(surprise) > _NEAR_BEATS:
            return lock._surprised(new)
        return lock._agreed(expected, surprise, reading, at_beat)

    def moved_to(self, at_beat: float, ahead_beats: float, tempo_error: float) -> BeatLock:
        """The same beats, told by another clock that stands at `at_beat`."""
        belief = Belief(at_beat, ahead_beats, tempo_error)
        return replace(self, belief=belief, last_heard_beat=at_beat)

    def _agreed(
        self, expected: Belief, surprise: float, reading: BeatReading, at_beat: float
    ) -> BeatLock:
        since = max(at_beat - self.last_heard_beat, 0.5)
        speed = expected.tempo_error + _SPEED_GAIN * surprise / since
        speed += _READ_SPEED_GAIN * (reading.tempo_error - expected.tempo_error)
        speed = min(max(speed, -_MAX_SPEED_ERROR), _MAX_SPEED_ERROR)
        belief = Belief(at_beat, expected.ahead_beats + _PLACE_GAIN * surprise, speed)
        agreeing = self.agreeing + 1
        is_sure = self.confidence >= (_STILL_SURE if self.is_acting else _SURE)
        is_sure = is_sure and (self.is_acting or agreeing >= _READINGS_TO_LOCK)
        return replace(
            self,
            state=LockState.LOCKED if is_sure else LockState.SEARCHING,
            belief=belief,
            agreeing=agreeing,
            surprising=0,
            last_heard_beat=at_beat,
        )

    def _surprised(self, new: Belief) -> BeatLock:
        """Beats elsewhere: once is chance, several times is where they are now."""
        surprising = self.surprising + 1
        if surprising < _READINGS_TO_MISTRUST and self.is_acting:
            return replace(self, surprising=surprising)
        return replace(
            self,
            state=LockState.SEARCHING,
            belief=new,
            agreeing=1,
            surprising=0,
            last_heard_beat=new.at_beat,
            relocks=self.relocks + self.is_acting,
        )

    def _unheard(self, at_beat: float) -> BeatLock:
        """No beats: those that were there go on for a while."""
        if self.belief is None:
            return replace(self, state=LockState.SEARCHING)
        if not self.is_acting or at_beat - self.last_heard_beat > _HELD_BEATS:
            return replace(self, state=LockState.SEARCHING, belief=None, agreeing=0, surprising=0)
        return replace(self, state=LockState.HOLDING)


def _wrapped(beats: float) -> float:
    return beats - round(beats)
