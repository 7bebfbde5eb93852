"""Listens to a stream: a reading every beat, and what is believed of the beats after each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.live.beat_comb import NOTHING_HEARD, read_beats
from musicgen_rt.live.beat_lock import BeatLock
from musicgen_rt.live.beat_onsets import OnsetStrength
from musicgen_rt.live.beat_source import SourceHistory

Array = NDArray[np.float64]

_WINDOW_BEATS = 5.0
_READING_BEATS = 1.0
# A beat must be longer than what is stretched at once.
_FASTEST_BPM = 240.0
# So far a model that is told the beats can be off them; what seems more is something else.
_MOST_ERROR_IF_TOLD = 0.02
_KEPT_LOCKS = 256
# So far from its beat a kick may begin.
_LOW_REACH_SECONDS = 0.04


class BeatListener:
    """The lock of one stream, as it was after each reading. One thread: the engine's.

    `is_told` says whether the model is told the asked beats itself.
    """

    def __init__(self, rate_hz: int, hop_samples: int, *, is_told: bool) -> None:
        self._rate_hz, self._hop_samples = rate_hz, hop_samples
        self._is_told = is_told
        self._onsets = OnsetStrength(rate_hz)
        self._locks: deque[tuple[int, BeatLock]] = deque(maxlen=_KEPT_LOCKS)
        self._asked_since = self._begun_at = 0

    @property
    def lock(self) -> BeatLock:
        """What is believed now."""
        return self._locks[-1][1] if self._locks else BeatLock()

    def beats_since(self, stream_sample: int, asked: Timeline) -> Iterator[tuple[float, float]]:
        """The beats that were heard behind a sample of the stream, the last one first.

        They are those that were believed in when each was heard.

        Where each lies, as a sample, and how strongly it begins in the lowest bands, in dB.
        """
        for end_sample, lock in reversed(self._locks):
            if end_sample <= stream_sample:
                return
            if lock.belief is None or not lock.is_acting:
                continue
            frame = end_sample / self._hop_samples
            belief = lock.belief.at(asked.beat_at(frame))
            since_beats = (belief.at_beat + belief.ahead_beats) % 1.0
            bpm = asked.bpm_at(frame) * (1 + belief.tempo_error)
            at = end_sample - since_beats * 60 / bpm * self._rate_hz
            if at > stream_sample:
                yield at, self._onsets.low_peak(at, _LOW_REACH_SECONDS)

    def begin(self, stream_sample: int, source: SourceHistory) -> None:
        """What comes next is another place of the stream, or of another one."""
        self._onsets.cut(source)
        self._locks.clear()
        self._begun_at = stream_sample
        # Where the clock jumps, a model that is told jumps along; what another one has played
        # before says nothing about the beats of the new clock.
        self._asked_since = source.first_sample if self._is_told else stream_sample

    def rewind(self, stream_sample: int, source: SourceHistory) -> None:
        """The stream went back, and what was believed goes back with it."""
        self._onsets.cut(source)
        while self._locks and self._locks[-1][0] > stream_sample:
            self._locks.pop()
        self._asked_since = min(self._asked_since, stream_sample)

    def clock_changed(self, stream_sample: int, before: Timeline, after: Timeline) -> None:
        """The asked clock is another one from a stream sample on.

        A model that is told the beats goes along. Another one goes on as it was: what is believed
        of it is told in terms of the new clock.
        """
        if self._is_told or not self._locks:
            return
        frame = stream_sample / self._hop_samples
        old_beat, new_beat = before.beat_at(frame), after.beat_at(frame)
        ratio = before.bpm_at(frame) / after.bpm_at(frame)
        at, lock = self._locks[-1]
        if lock.belief is not None:
            belief = lock.belief.at(old_beat)
            tempo_error = (1 + belief.tempo_error) * ratio - 1
            lock = lock.moved_to(new_beat, belief.ahead_beats + old_beat - new_beat, tempo_error)
        self._locks.append((at, lock))
        self._asked_since = stream_sample

    def follow(self, source: SourceHistory, asked: Timeline) -> None:
        """Hear what has come to the source since, and read the beats, once each beat."""
        self._onsets.follow(source)
        hops_known = self._onsets.end_hop
        while True:
            heard_to = self._locks[-1][0] if self._locks else self._begun_at
            frame = heard_to / self._hop_samples
            next_frame = asked.frame_at(asked.beat_at(frame) + _READING_BEATS)
            end_sample = round(next_frame * self._hop_samples)
            end_hop = end_sample // self._onsets.hop_samples
            if end_hop > hops_known or end_sample <= heard_to:
                return
            self._locks.append((end_sample, self._read(asked, end_hop)))

    def _read(self, asked: Timeline, end_hop: int) -> BeatLock:
        """The lock after one more reading that ends at a hop."""
        lock = self.lock
        hops_a_frame = self._hop_samples / self._onsets.hop_samples
        begin_beat = asked.beat_at(end_hop / hops_a_frame) - _WINDOW_BEATS
        first_hop = round(asked.frame_at(begin_beat) * hops_a_frame)
        first_hop = max(first_hop, -(-self._asked_since // self._onsets.hop_samples))
        if first_hop >= end_hop or asked.bpm_at(end_hop / hops_a_frame) > _FASTEST_BPM:
            return lock.heard(NOTHING_HEARD, asked.beat_at(end_hop / hops_a_frame))
        frames_a_second = self._rate_hz / self._hop_samples
        seconds = self._onsets.seconds_of(np.arange(first_hop, end_hop))
        beats = _beats_of(asked, seconds * frames_a_second)
        expected = None
        if lock.belief is not None:
            belief = lock.belief.at(beats[-1])
            expected = (belief.ahead_beats, belief.tempo_error)
        elif self._is_told:
            expected = (0.0, 0.0)
        strengths = self._onsets.strengths(first_hop, end_hop)
        reading = read_beats(strengths, beats, expected)
        if self._is_told and abs(reading.tempo_error) > _MOST_ERROR_IF_TOLD:
            reading = NOTHING_HEARD
        return lock.heard(reading, float(beats[-1]))


def _beats_of(timeline: Timeline, frames: Array) -> Array:
    """The beats at frames that lie evenly: exact at some, on straight lines in between."""
    edges = [s.frame for s in timeline.segments if frames[0] < s.frame < frames[-1]]
    # At a jump of the clock the value before it and that behind it both count.
    knots = sorted({frames[0], *(e - 1e-6 for e in edges), *edges, frames[-1]})
    return np.interp(frames, knots, [timeline.beat_at(float(one)) for one in knots])
