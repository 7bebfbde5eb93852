"""Brings the stream's audio onto the session's beats: listens, believes, stretches.

Samples of the stream go in, samples of the session come out, in order. While nothing is to be
moved they are the same samples, at once. While the music is stretched, some tenths of a second of
it wait for what follows them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.live.bar_phase import MOST_BARS, HeardBeat, beats_to_skip
from musicgen_rt.live.beat_listener import BeatListener
from musicgen_rt.live.beat_lock import MAX_WARP, BeatLock, LockState
from musicgen_rt.live.beat_map import BeatMap
from musicgen_rt.live.beat_source import SourceHistory
from musicgen_rt.live.beat_warp import Overlap, Warp
from musicgen_rt.live.buffer_writer import Samples

_KEEP_SECONDS = 30.0
_PIECE_SECONDS = 0.2
# How many beats an error takes to go, and how fast the speed may change, each piece.
_CORRECTION_BEATS = 2.0
_RATE_STEP = 0.012
# Errors that nobody hears, with a model that is told the beats and one that is not.
_TOLERATED_SECONDS = {True: 0.012, False: 0.004}
# Once it is being corrected, an error is followed further.
_CORRECTED_SECONDS = 0.003
_SAME_RATE = 5e-4
# So near must a beat be heard to be counted in a bar, and all be to leave some out.
_ON_BEAT_SECONDS = 0.03


@dataclass(frozen=True)
class LockReport:
    """How the lock is doing: `rate` above 1 hastens the music, `error_ms` above 0 means it is late.

    The error is what was measured before the correction; None while no beats are known.
    """

    state: str
    confidence: float
    error_ms: float | None
    tempo_error: float
    rate: float


class BeatFollower:
    """The lock of what one player plays. One thread: the engine's.

    `is_told` says whether the model is told the beats itself: then only what is left is trimmed.
    """

    def __init__(self, rate_hz: int, channels: int, hop_samples: int, *, is_told: bool) -> None:
        self._rate_hz, self._hop_samples = rate_hz, hop_samples
        self._is_told = is_told
        self._is_on = True
        self._source = SourceHistory(channels, round(_KEEP_SECONDS * rate_hz))
        self._listener = BeatListener(rate_hz, hop_samples, is_told=is_told)
        self._warp = Warp(rate_hz, channels)
        self._piece_samples = round(_PIECE_SECONDS * rate_hz)
        self.map = BeatMap(0, 0)
        self._overlap: Overlap | None = None
        self._rate = 1.0
        self._error_seconds: float | None = None
        # How much of the music may be left out at once: it has to be made besides.
        self.spare_samples = math.inf
        self.beats_left_out = 0
        # The lock with which the beats were last compared with the bar.
        self._judged: BeatLock | None = None

    @property
    def lock(self) -> BeatLock:
        """What is believed now."""
        return self._listener.lock

    @property
    def is_on(self) -> bool:
        """Whether the music is to be moved; it is listened to only then."""
        return self._is_on

    @is_on.setter
    def is_on(self, is_on: bool) -> None:
        if is_on and not self._is_on:
            self._listener.begin(self._source.end_sample, self._source)
        self._is_on = is_on

    @property
    def latency_samples(self) -> int:
        """How much of the stream may wait, at most, before it can be heard."""
        if self._rate == 1.0 and (self._is_told or not self._is_acting):
            return 0
        return self._needed_samples

    @property
    def _needed_samples(self) -> int:
        """How much of the stream must be there for a piece to be stretched, however much."""
        return math.ceil((self._piece_samples + self._warp.lookahead_samples) * (1 + MAX_WARP))

    def report(self) -> LockReport:
        """How it is going."""
        lock = self.lock
        error_seconds = None if lock.belief is None else self._error_seconds
        return LockReport(
            state=(lock.state if self.is_on else LockState.OFF).value,
            confidence=round(lock.confidence, 3),
            error_ms=None if error_seconds is None else round(1000 * error_seconds, 1),
            tempo_error=round(lock.belief.tempo_error, 5) if lock.belief else 0.0,
            rate=round(self._rate, 5),
        )

    # Places

    def begin(self, stream_sample: int, session_sample: int) -> None:
        """What comes next is the stream's `stream_sample`, heard at `session_sample`: a splice."""
        self._source.begin(stream_sample)
        self._listener.begin(stream_sample, self._source)
        self.map = BeatMap(stream_sample, session_sample)
        self._overlap, self._rate, self._error_seconds = None, 1.0, None

    def forget(self) -> None:
        """Another stream follows: what was heard of this one says nothing about it."""
        self._source.first_sample = self._source.end_sample

    def rewind(self, stream_sample: int) -> None:
        """The stream went back: what comes next is `stream_sample` again."""
        self._source.begin(stream_sample)
        self._listener.rewind(stream_sample, self._source)
        self._replan(stream_sample)

    def warp_again(self, session_sample: int, asked: Timeline, grid: Timeline) -> Samples:
        """The samples of what is made already, from `map.session_end` on, under another grid.

        What comes before `session_sample` may come again, as it was.
        """
        self._replan(int(self.map.to_stream(session_sample)))
        return self._pieces(asked, grid)

    def clock_changed(self, stream_sample: int, before: Timeline, after: Timeline) -> None:
        """The asked clock is another one from a stream sample on."""
        self._listener.clock_changed(stream_sample, before, after)

    def _replan(self, stream_sample: int) -> None:
        cut = self.map.cut(stream_sample)
        if cut != self.map:  # else nothing is given out again: it goes on where it was
            self._overlap = None
        self.map, self._rate = cut, cut.rate

    # Music

    def push(self, samples: Samples, asked: Timeline | None, grid: Timeline) -> Samples:
        """The stream's next samples [C, N]; the session's from the old `map.session_end` on.

        `asked` is the clock over the stream's frames, `grid` the session's over its own.
        """
        self._source.append(samples)
        if asked is None:
            return self._plain_rest()
        if self.is_on:
            self._listener.follow(self._source, asked)
        self.map = self.map.forget_before(self._source.first_sample)
        if not self._is_told and self.is_on and self.lock.state is LockState.LOCKED:
            self._leave_out(self._skip_samples(asked, grid))
        return self._pieces(asked, grid)

    def _skip_samples(self, asked: Timeline, grid: Timeline) -> int:
        """What of the stream to leave out for its bars to fall on the session's; 0 for nothing."""
        if self._error_seconds is None or abs(self._error_seconds) > _ON_BEAT_SECONDS:
            return 0
        if self.lock is self._judged:
            return 0  # no beat was heard since
        self._judged = self.lock
        frame = self.map.session_end / self._hop_samples
        beats_per_bar = grid.beats_per_bar_at(int(frame))
        heard: list[HeardBeat] = []
        for stream_sample, low_db in self._listener.beats_since(self.map.last_left_out, asked):
            if stream_sample < self.map.stream_end:
                at = self.map.to_session(stream_sample) / self._hop_samples
                _, place = grid.bar_position_at(at)
                off_seconds = (place - round(place)) * 60 / grid.bpm_at(at)
                if abs(off_seconds) < _ON_BEAT_SECONDS:
                    heard.append(HeardBeat(round(place), low_db))
            if len(heard) == MOST_BARS * beats_per_bar:
                break
        beats = beats_to_skip(heard[::-1], beats_per_bar)
        belief = self.lock.belief
        if not beats or belief is None:
            return 0
        asked_bpm = asked.bpm_at(self.map.stream_end / self._hop_samples)
        count = round(beats * 60 / asked_bpm / (1 + belief.tempo_error) * self._rate_hz)
        if count > self.spare_samples:
            return 0
        self.beats_left_out += beats
        return count

    def _leave_out(self, count: int) -> None:
        """Leave out so much of the stream, with a crossfade from what it would have gone on to."""
        if not count:
            return
        if self._overlap is None or self._overlap.is_plain:
            rest = self._source.read(self.map.stream_end, self._warp.fade_samples)
            self._overlap = Overlap(rest, is_plain=False)
        self.map = self.map.with_stretch(count, 0)

    def _pieces(self, asked: Timeline, grid: Timeline) -> Samples:
        parts = []
        while (waiting := self._source.end_sample - self.map.stream_end) > 0:
            rate = self._next_rate(asked, grid)
            if rate == 1.0 and (self._is_told or not self._is_acting):
                parts.append(self._plain_rest())
                break
            if waiting < self._needed_samples:
                self._rate = rate if self._rate == 1.0 else self._rate
                break
            parts.append(self._piece(self._piece_samples, rate))
        if not parts:
            return self._source.read(0, 0)
        return np.concatenate(parts, axis=1)

    @property
    def _is_acting(self) -> bool:
        """Whether to go by the belief; a model that is told the beats needs none to go on."""
        if self._is_told:
            return self.is_on and self.lock.state is LockState.LOCKED
        return self.is_on and self.lock.is_acting

    def _plain_rest(self) -> Samples:
        """All that waits, as it is."""
        waiting = self._source.end_sample - self.map.stream_end
        return self._piece(waiting, 1.0)

    def _piece(self, count: int, rate: float) -> Samples:
        before = self._overlap
        if before is not None and before.is_plain:  # what it goes on to was not known then
            after = self._source.read(self.map.stream_end, self._warp.fade_samples)
            before = Overlap(after, is_plain=True)
        session_count = count if rate == 1.0 else round(count / rate)
        grown = self.map.with_stretch(count, session_count)
        place = BeatMap(self.map.stream_end, self.map.session_end).with_stretch(
            count, session_count
        )
        samples, self._overlap = self._warp.piece(self._source, place.stretches[0], before)
        self.map, self._rate = grown, rate
        return samples

    def _next_rate(self, asked: Timeline, grid: Timeline) -> float:
        """How fast to play the next piece, in stream samples a session sample."""
        wanted = min(max(self._wanted_rate(asked, grid), 1 - MAX_WARP), 1 + MAX_WARP)
        step = min(max(wanted - self.map.rate, -_RATE_STEP), _RATE_STEP)
        rate = self.map.rate + step
        return 1.0 if abs(rate - 1) < _SAME_RATE else rate

    def _wanted_rate(self, asked: Timeline, grid: Timeline) -> float:
        at = self.map.stream_end / self._hop_samples
        heard_at = self.map.session_end / self._hop_samples
        asked_beat, grid_bpm = asked.beat_at(at), grid.bpm_at(heard_at)
        lock = self.lock
        is_acting = self._is_acting
        ahead_beats = tempo_error = 0.0
        if lock.belief is not None and is_acting:
            belief = lock.belief.at(asked_beat)
            ahead_beats = belief.ahead_beats
            # A model that is told the beats does not drift: what seems so is chance.
            tempo_error = 0.0 if self._is_told else belief.tempo_error
        if not self.is_on or not (is_acting or self._is_told):
            self._error_seconds = None
            return 1.0
        same_speed = grid_bpm / (asked.bpm_at(at) * (1 + tempo_error))
        late_beats = grid.beat_at(heard_at) - asked_beat - ahead_beats
        late_beats -= round(late_beats)
        self._error_seconds = late_beats * 60 / grid_bpm if is_acting else None
        is_moving = self.map.rate != 1.0
        tolerated = _CORRECTED_SECONDS if is_moving else _TOLERATED_SECONDS[self._is_told]
        if not is_acting or abs(late_beats) * 60 / grid_bpm < tolerated:
            return same_speed
        return same_speed * (1 + late_beats / _CORRECTION_BEATS)
