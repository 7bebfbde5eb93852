"""The timeline: codec frames to beats and bars and back, for a tempo that changes in steps.

Frames are absolute codec frames of the session; frame f begins at f / frame_rate_hz seconds. A
timeline is a value: a change gives a new one. Positions are exact fractions inside, each computed
from the start of its segment and never by adding up, so bars do not drift however long a session
runs. No torch and no numpy here: both sides of the process boundary import this file.
"""

from __future__ import annotations

import math
import operator
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, SupportsIndex

from musicgen_rt.errors import ParameterError

BPM_RANGE = (20.0, 999.0)
BEATS_PER_BAR_RANGE = (1, 16)

_HALF = Fraction(1, 2)
_LAST_PHASE = math.nextafter(1.0, 0.0)


@dataclass(frozen=True)
class ClockPoint:
    """The musical clock at one moment; both phases are in [0, 1)."""

    bar_phase: float
    beat_phase: float
    beats_per_bar: int
    bpm: float


@dataclass(frozen=True)
class Segment:
    """A stretch of constant tempo and signature, from `frame` up to the next segment.

    `beat` is the exact beat at `frame`. Bar lines lie at
    `bar_beat + n * beats_per_bar`; the bar that begins at `bar_beat` has the number `bar`.
    """

    frame: int
    beat: Fraction
    bpm: float
    beats_per_bar: int
    bar_beat: Fraction
    bar: int
    beats_per_frame: Fraction

    def beat_at(self, frame: Fraction) -> Fraction:
        """The exact beat at `frame` under this segment's tempo."""
        return self.beat + (frame - self.frame) * self.beats_per_frame

    def bar_position(self, beat: Fraction) -> tuple[int, Fraction]:
        """The number of the bar that holds `beat`, and the beats since its bar line."""
        bars, beats = divmod(beat - self.bar_beat, self.beats_per_bar)
        return self.bar + int(bars), beats


@dataclass(frozen=True)
class Timeline:
    """Tempo map over codec frames; make one with `Timeline.start`.

    `segments` are in order of strictly growing frames and join without a jump in beats. Before the
    first segment its tempo goes back for ever, after the last one its tempo goes on for ever.
    """

    frame_rate_hz: Fraction
    segments: tuple[Segment, ...]

    @classmethod
    def start(
        cls,
        bpm: float,
        beats_per_bar: int = 4,
        *,
        frame_rate_hz: int | float | Fraction = 50,
        frame: int = 0,
        beat: int | float | Fraction = 0,
    ) -> Timeline:
        """A timeline with one tempo, whose beat at `frame` is `beat` and whose bar 0 starts at 0.

        Raises ParameterError for a tempo outside 20-999 bpm, beats per bar outside 1-16 or a
        frame rate that is not a positive number.
        """
        _check_tempo(bpm, beats_per_bar)
        rate_hz = _exact(frame_rate_hz, "frame_rate_hz")
        if rate_hz <= 0:
            raise ParameterError(f"frame_rate_hz is {frame_rate_hz}: expected more than 0")
        first = Segment(
            frame=_whole(frame, "the frame"),
            beat=_exact(beat, "beat"),
            bpm=float(bpm),
            beats_per_bar=beats_per_bar,
            bar_beat=Fraction(0),
            bar=0,
            beats_per_frame=_beats_per_frame(bpm, rate_hz),
        )
        return cls(rate_hz, (first,))

    def with_tempo(
        self, frame: int, bpm: float | None = None, beats_per_bar: int | None = None
    ) -> Timeline:
        """The timeline with another tempo or signature from `frame` on; None keeps a value.

        Beats stay continuous. A new tempo leaves the bar lines on their beats; a new signature
        begins a new bar: on the bar line when `frame` is a bar start frame, and otherwise at
        `frame` itself, cutting the old bar short. Changes known at or after `frame` are replaced.

        Raises ParameterError as `start` does, and for a frame before the first segment.
        """
        frame = _whole(frame, "the frame")
        if frame < self.segments[0].frame:
            raise ParameterError(
                f"frame {frame} is before the timeline's first frame {self.segments[0].frame}: "
                "change the tempo at that frame or later"
            )
        in_force = self._segment_at(frame)
        new_bpm = in_force.bpm if bpm is None else bpm
        new_beats = in_force.beats_per_bar if beats_per_bar is None else beats_per_bar
        _check_tempo(new_bpm, new_beats)
        kept = tuple(segment for segment in self.segments if segment.frame < frame)
        if kept and (new_bpm, new_beats) == (kept[-1].bpm, kept[-1].beats_per_bar):
            return replace(self, segments=kept)
        old = kept[-1] if kept else self.segments[0]
        return replace(self, segments=(*kept, self._join(old, frame, float(new_bpm), new_beats)))

    def forget_before(self, frame: int) -> Timeline:
        """The same timeline without the segments that ended at or before `frame`.

        For sessions without end: beats and bars keep their numbers from `frame` on.
        """
        return replace(self, segments=self.segments[self._index_at(frame) :])

    def beat_at(self, frame: float) -> float:
        """The beat at `frame`, which may lie between two codec frames."""
        return float(self._exact_beat(_exact(frame, "frame")))

    def frame_at(self, beat: float) -> float:
        """The frame at which `beat` falls; the inverse of `beat_at`."""
        return float(self._exact_frame(_exact(beat, "beat")))

    def bpm_at(self, frame: float) -> float:
        """The tempo in force at `frame`."""
        return self._segment_at(_exact(frame, "frame")).bpm

    def bar_position_at(self, frame: float) -> tuple[int, float]:
        """The number of the bar at `frame` and the beats since its (exact) bar line."""
        exact_frame = _exact(frame, "frame")
        segment = self._segment_at(exact_frame)
        bar, beats = segment.bar_position(segment.beat_at(exact_frame))
        return bar, float(beats)

    def clock_at(self, frame: float) -> ClockPoint:
        """The clock at `frame`: what a clock conditioner is fed."""
        exact_frame = _exact(frame, "frame")
        segment = self._segment_at(exact_frame)
        _, beats = segment.bar_position(segment.beat_at(exact_frame))
        return ClockPoint(
            # A fraction just below 1 must not become 1.0 when it is rounded to a float.
            bar_phase=min(float(beats / segment.beats_per_bar), _LAST_PHASE),
            beat_phase=min(float(beats % 1), _LAST_PHASE),
            beats_per_bar=segment.beats_per_bar,
            bpm=segment.bpm,
        )

    def bar_start_frame(self, bar: int) -> int:
        """The frame nearest to the bar line that begins `bar` (a half goes to the later frame)."""
        return math.floor(self._exact_frame(self._bar_beat(bar)) + _HALF)

    def bar_start_frames(self, first_frame: int, end_frame: int) -> list[int]:
        """The start frames of all bars that begin in [first_frame, end_frame), in order."""
        bar = self._last_bar_at_or_before(first_frame)
        starts = []
        while (start := self.bar_start_frame(bar)) < end_frame:
            if start >= first_frame:
                starts.append(start)
            bar += 1
        return starts

    def last_bar_start_at_or_before(self, frame: int) -> int:
        """The latest bar start frame that is not after `frame`."""
        return self.bar_start_frame(self._last_bar_at_or_before(frame))

    def next_bar_start_at_or_after(self, frame: int) -> int:
        """The earliest bar start frame that is not before `frame`."""
        bar = self._last_bar_at_or_before(frame)
        start = self.bar_start_frame(bar)
        return start if start == frame else self.bar_start_frame(bar + 1)

    def whole_bars_before(self, frame: int, max_frames: int) -> int:
        """The start of the most whole bars that end at `frame` and fit into `max_frames`.

        When `frame` is a bar start the result is one too; in the middle of a bar the result is the
        frame nearest to the same place of an earlier bar. When not even one bar fits, the result
        is `frame` itself: no bars.
        """
        bar = self._last_bar_at_or_before(frame)
        line, later_line = self._bar_beat(bar), self._bar_beat(bar + 1)
        on_line = self.bar_start_frame(bar) == frame
        place = (self._exact_beat(Fraction(frame)) - line) / (later_line - line)
        start = candidate = frame
        while frame - candidate <= max_frames:
            start = candidate
            bar -= 1
            line, later_line = self._bar_beat(bar), line
            beat = line if on_line else line + place * (later_line - line)
            candidate = math.floor(self._exact_frame(beat) + _HALF)
        return start

    def to_json(self) -> dict[str, Any]:
        """The timeline as a value for `json.dumps`; exact, since fractions are kept as text."""
        first = self.segments[0]
        return {
            "frame_rate_hz": str(self.frame_rate_hz),
            "beat": str(first.beat),
            "bar_beat": str(first.bar_beat),
            "bar": first.bar,
            "segments": [[s.frame, s.bpm, s.beats_per_bar] for s in self.segments],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Timeline:
        """The inverse of `to_json`; each segment is joined and checked anew.

        Raises ParameterError if the value is not one that `to_json` made.
        """
        try:
            (frame, bpm, beats_per_bar), *changes = value["segments"]
            timeline = cls.start(
                bpm,
                beats_per_bar,
                frame_rate_hz=Fraction(value["frame_rate_hz"]),
                frame=frame,
                beat=Fraction(value["beat"]),
            )
            first = replace(
                timeline.segments[0],
                bar_beat=Fraction(value["bar_beat"]),
                bar=_whole(value["bar"], "the bar"),
            )
            timeline = replace(timeline, segments=(first,))
            for frame, bpm, beats_per_bar in changes:
                timeline = timeline.with_tempo(frame, bpm, beats_per_bar)
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise ParameterError(
                f"not a timeline ({error}): expected the value that Timeline.to_json makes"
            ) from error
        return timeline

    def _join(self, old: Segment, frame: int, bpm: float, beats_per_bar: int) -> Segment:
        """The segment that follows `old` at `frame` without a jump in beats."""
        beat = old.beat_at(Fraction(frame))
        new = replace(
            old,
            frame=frame,
            beat=beat,
            bpm=bpm,
            beats_per_bar=beats_per_bar,
            beats_per_frame=_beats_per_frame(bpm, self.frame_rate_hz),
        )
        if beats_per_bar == old.beats_per_bar:
            return new
        half_frame_beats = old.beats_per_frame / 2
        bar, beats_in = old.bar_position(beat)
        beats_left = old.beats_per_bar - beats_in
        if beats_in <= half_frame_beats:
            return replace(new, bar_beat=beat - beats_in, bar=bar)
        if beats_left <= half_frame_beats:
            return replace(new, bar_beat=beat + beats_left, bar=bar + 1)
        return replace(new, bar_beat=beat, bar=bar + 1)

    def _index_at(self, frame: int | Fraction) -> int:
        return max(0, bisect_right(self.segments, frame, key=lambda s: s.frame) - 1)

    def _segment_at(self, frame: int | Fraction) -> Segment:
        return self.segments[self._index_at(frame)]

    def _exact_beat(self, frame: Fraction) -> Fraction:
        return self._segment_at(frame).beat_at(frame)

    def _exact_frame(self, beat: Fraction) -> Fraction:
        index = max(0, bisect_right(self.segments, beat, key=lambda s: s.beat) - 1)
        segment = self.segments[index]
        return segment.frame + (beat - segment.beat) / segment.beats_per_frame

    def _bar_beat(self, bar: int) -> Fraction:
        index = max(0, bisect_right(self.segments, bar, key=lambda s: s.bar) - 1)
        segment = self.segments[index]
        return segment.bar_beat + (bar - segment.bar) * segment.beats_per_bar

    def _last_bar_at_or_before(self, frame: int) -> int:
        """The last bar whose start frame, rounded, is not after `frame`."""
        # A bar line up to half a frame after `frame` is rounded onto it.
        late = frame + _HALF
        segment = self._segment_at(late)
        bar, _ = segment.bar_position(segment.beat_at(late))
        return bar if self.bar_start_frame(bar) <= frame else bar - 1


def _check_tempo(bpm: float, beats_per_bar: int) -> None:
    low, high = BPM_RANGE
    if isinstance(bpm, bool) or not isinstance(bpm, int | float) or not low <= bpm <= high:
        raise ParameterError(f"the tempo is {bpm!r} bpm: expected {low:g} to {high:g}")
    fewest, most = BEATS_PER_BAR_RANGE
    if isinstance(beats_per_bar, bool) or not isinstance(beats_per_bar, int):
        raise ParameterError(f"beats_per_bar is {beats_per_bar!r}: expected a whole number")
    if not fewest <= beats_per_bar <= most:
        raise ParameterError(f"beats_per_bar is {beats_per_bar}: expected {fewest} to {most}")


def _beats_per_frame(bpm: float, frame_rate_hz: Fraction) -> Fraction:
    return Fraction(bpm) / (60 * frame_rate_hz)


def _whole(value: int, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise ParameterError(f"{name} is {value!r}: expected a whole number")
    return operator.index(value)


def _exact(value: int | float | Fraction, name: str) -> Fraction:
    if not math.isfinite(value):
        raise ParameterError(f"{name} is {value!r}: expected a finite number")
    return Fraction(value)
