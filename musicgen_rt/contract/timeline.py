"""The timeline: codec frames to beats and bars and back, for a tempo that changes in steps.

Frames are absolute codec frames of the session; frame f begins at f / frame_rate_hz seconds. A
timeline is a value: a change gives a new one. Positions are exact fractions inside, each from the
start of its segment: bars never drift. Both processes import this file: no torch.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from musicgen_rt.contract.segment import (
    BEATS_PER_BAR_RANGE,
    BPM_RANGE,
    Segment,
    beats_per_frame_of,
    check_tempo,
    exact,
    segment_from_json,
    whole,
)
from musicgen_rt.errors import ParameterError

__all__ = ["BEATS_PER_BAR_RANGE", "BPM_RANGE", "ClockPoint", "Segment", "Timeline"]

_HALF = Fraction(1, 2)
_PLAIN_ROW = 3  # frame, tempo, signature
_LAST_PHASE = math.nextafter(1.0, 0.0)


@dataclass(frozen=True)
class ClockPoint:
    """The musical clock at one moment; both phases are in [0, 1)."""

    bar_phase: float
    beat_phase: float
    beats_per_bar: int
    bpm: float


@dataclass(frozen=True)
class Timeline:
    """Tempo map over codec frames; make one with `Timeline.start`.

    `segments` are in order of strictly growing frames. They join without a jump in beats, except
    where the place in the bar was set anew (`with_position`, `joined`): there beats and bars jump
    ahead, never back. Before the first segment its tempo goes back for ever, after the last one its
    tempo goes on for ever.
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
        check_tempo(bpm, beats_per_bar)
        rate_hz = exact(frame_rate_hz, "frame_rate_hz")
        if rate_hz <= 0:
            raise ParameterError(f"frame_rate_hz is {frame_rate_hz}: expected more than 0")
        first = Segment(
            frame=whole(frame, "the frame"),
            beat=exact(beat, "beat"),
            bpm=float(bpm),
            beats_per_bar=beats_per_bar,
            bar_beat=Fraction(0),
            bar=0,
            beats_per_frame=beats_per_frame_of(bpm, rate_hz),
        )
        return cls(rate_hz, (first,))

    def with_tempo(
        self, frame: int, bpm: float | None = None, beats_per_bar: int | None = None
    ) -> Timeline:
        """The timeline with another tempo or signature from `frame` on; None keeps a value.

        Beats stay continuous. A new tempo leaves the bar lines on their beats; a new signature
        begins a new bar: on the bar line when `frame` is a bar start frame, and otherwise at
        `frame` itself, cutting the old bar short. Changes known at or after `frame` are replaced;
        a place in the bar that was set at `frame` itself stays.

        Raises ParameterError as `start` does, and for a frame before the first segment.
        """
        frame = whole(frame, "the frame")
        if frame < self.segments[0].frame:
            raise ParameterError(
                f"frame {frame} is before the timeline's first frame {self.segments[0].frame}: "
                "change the tempo at that frame or later"
            )
        in_force = self._segment_at(frame)
        new_bpm = in_force.bpm if bpm is None else bpm
        new_beats = in_force.beats_per_bar if beats_per_bar is None else beats_per_bar
        check_tempo(new_bpm, new_beats)
        kept = tuple(segment for segment in self.segments if segment.frame < frame)
        beats_per_frame = beats_per_frame_of(new_bpm, self.frame_rate_hz)
        if kept and in_force.frame == frame and not in_force.continues(kept[-1]):
            place = in_force.bar_beat if new_beats == in_force.beats_per_bar else in_force.beat
            new = replace(
                in_force,
                bpm=float(new_bpm),
                beats_per_bar=new_beats,
                bar_beat=place,
                beats_per_frame=beats_per_frame,
            )
            return replace(self, segments=(*kept, *kept[-1].followed_by([new])))
        if kept and (new_bpm, new_beats) == (kept[-1].bpm, kept[-1].beats_per_bar):
            return replace(self, segments=kept)
        old = kept[-1] if kept else self.segments[0]
        new = old.continued(frame, float(new_bpm), new_beats, beats_per_frame)
        return replace(self, segments=(*kept, new))

    def with_position(self, frame: int, beats_in_bar: int | float | Fraction) -> Timeline:
        """The timeline with another place in the bar from `frame` on: so many beats in.

        Tempo and signature stay; changes known at or after `frame` are replaced. Beats and bars
        jump ahead: to later in the same bar, or else into the next one, whose beginning is then
        cut off. Raises ParameterError for a place outside of the bar or a frame before the first.
        """
        frame = whole(frame, "the frame")
        place = exact(beats_in_bar, "beats_in_bar")
        if frame < self.segments[0].frame:
            raise ParameterError(
                f"frame {frame} is before the timeline's first frame {self.segments[0].frame}: "
                "set the place at that frame or later"
            )
        tempo = self._segment_at(frame)
        if not 0 <= place < tempo.beats_per_bar:
            raise ParameterError(
                f"beats_in_bar is {beats_in_bar}: expected 0 or more, and less than the bar's "
                f"{tempo.beats_per_bar}"
            )
        new = replace(tempo, frame=frame, beat=place, bar_beat=Fraction(0), bar=0)
        return self.joined(frame, replace(self, segments=(new,)), frame)

    def joined(self, frame: int, other: Timeline, other_frame: int) -> Timeline:
        """This timeline before `frame`, and from there on what `other` does from `other_frame` on.

        Tempo, signature and place in the bar are the other's; its beats and bars are numbered on
        from this one's. Raises ParameterError for timelines of different frame rates.
        """
        if (other, other_frame) == (self, frame):
            return self
        if other.frame_rate_hz != self.frame_rate_hz:
            rates = f"{other.frame_rate_hz} frames a second: expected {self.frame_rate_hz}"
            raise ParameterError(f"the other timeline has {rates}")
        kept = [segment for segment in self.segments if segment.frame < frame]
        moved: Sequence[Segment] = other.excerpt(other_frame, frame).segments
        if kept:
            moved = kept[-1].followed_by(moved)
            if moved[0].continues(kept[-1]) and moved[0].has_tempo_of(kept[-1]):
                moved = moved[1:]
        return replace(self, segments=(*kept, *moved))

    def excerpt(self, first_frame: int, at_frame: int = 0) -> Timeline:
        """What this timeline does from `first_frame` on, begun at `at_frame` instead."""
        in_force = self._segment_at(first_frame)
        first = replace(in_force, frame=first_frame, beat=in_force.beat_at(first_frame))
        later = (segment for segment in self.segments if segment.frame > first_frame)
        moved = (replace(s, frame=s.frame - first_frame + at_frame) for s in (first, *later))
        return replace(self, segments=tuple(moved))

    def forget_before(self, frame: int) -> Timeline:
        """The same timeline without the segments that ended at or before `frame`.

        For sessions without end: beats and bars keep their numbers from `frame` on.
        """
        return replace(self, segments=self.segments[self._index_at(frame) :])

    def beat_at(self, frame: float) -> float:
        """The beat at `frame`, which may lie between two codec frames."""
        return float(self._exact_beat(exact(frame, "frame")))

    def frame_at(self, beat: float) -> float:
        """The frame at which `beat` falls; the inverse of `beat_at`."""
        return float(self._exact_frame(exact(beat, "beat")))

    def bpm_at(self, frame: float) -> float:
        """The tempo in force at `frame`."""
        return self._segment_at(exact(frame, "frame")).bpm

    def beats_per_bar_at(self, frame: int) -> int:
        """The signature in force at `frame`."""
        return self._segment_at(frame).beats_per_bar

    def bar_position_at(self, frame: float) -> tuple[int, float]:
        """The number of the bar at `frame` and the beats since its (exact) bar line."""
        exact_frame = exact(frame, "frame")
        segment = self._segment_at(exact_frame)
        bar, beats = segment.bar_position(segment.beat_at(exact_frame))
        return bar, float(beats)

    def clock_at(self, frame: float) -> ClockPoint:
        """The clock at `frame`: what a clock conditioner is fed."""
        exact_frame = exact(frame, "frame")
        segment = self._segment_at(exact_frame)
        _, beats = segment.bar_position(segment.beat_at(exact_frame))
        return ClockPoint(
            # A fraction just below 1 must not become 1.0 when it is rounded to a float.
            bar_phase=min(float(beats / segment.beats_per_bar), _LAST_PHASE),
            beat_phase=min(float(beats % 1), _LAST_PHASE),
            beats_per_bar=segment.beats_per_bar,
            bpm=segment.bpm,
        )

    def bar_at(self, frame: int) -> int:
        """The number of the bar that is played at `frame`, by the rounded bar starts."""
        return self._last_bar_at_or_before(frame)

    def bar_line_at(self, bar: int) -> float:
        """The exact place of the bar line that begins `bar`, in frames."""
        return float(self._exact_frame(self._bar_beat(bar)))

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

    def whole_bars_before(self, frame: int, max_frames: int, max_bars: int | None = None) -> int:
        """The start of the most whole bars, up to `max_bars`, that end at `frame` and fit.

        They fit when they are no longer than `max_frames`. When `frame` is a bar start the result
        is one too; in the middle of a bar the result is the frame nearest to the same place of an
        earlier bar. When not even one bar fits, the result is `frame` itself: no bars.
        """
        bar = self._last_bar_at_or_before(frame)
        line, later_line = self._bar_beat(bar), self._bar_beat(bar + 1)
        on_line = self.bar_start_frame(bar) == frame
        place = (self._exact_beat(Fraction(frame)) - line) / (later_line - line)
        start = candidate = frame
        bars = 0
        while frame - candidate <= max_frames and (max_bars is None or bars <= max_bars):
            start, bars = candidate, bars + 1
            bar -= 1
            line, later_line = self._bar_beat(bar), line
            beat = line if on_line else line + place * (later_line - line)
            candidate = math.floor(self._exact_frame(beat) + _HALF)
        return start

    def to_json(self) -> dict[str, Any]:
        """The timeline as a value for `json.dumps`; exact, since fractions are kept as text."""
        first, *later = self.segments
        rows = [one.to_json(before) for before, one in zip(self.segments, later, strict=False)]
        return {
            "frame_rate_hz": str(self.frame_rate_hz),
            "beat": str(first.beat),
            "bar_beat": str(first.bar_beat),
            "bar": first.bar,
            "segments": [[first.frame, first.bpm, first.beats_per_bar], *rows],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Timeline:
        """The inverse of `to_json`; each segment is joined and checked anew.

        Raises ParameterError if the value is not one that `to_json` made.
        """
        try:
            (frame, bpm, beats_per_bar), *rows = value["segments"]
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
                bar=whole(value["bar"], "the bar"),
            )
            timeline = replace(timeline, segments=(first,))
            for row in rows:
                timeline = timeline._with_row(row)
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise ParameterError(
                f"not a timeline ({error}): expected the value that Timeline.to_json makes"
            ) from error
        return timeline

    def _with_row(self, row: list[Any]) -> Timeline:
        if len(row) == _PLAIN_ROW:
            return self.with_tempo(*row)
        new = segment_from_json(row, self.frame_rate_hz, self.segments[-1])
        return replace(self, segments=(*self.segments, new))

    def _index_at(self, frame: int | Fraction) -> int:
        return max(0, bisect_right(self.segments, frame, key=lambda s: s.frame) - 1)

    def _segment_at(self, frame: int | Fraction) -> Segment:
        return self.segments[self._index_at(frame)]

    def _exact_beat(self, frame: Fraction) -> Fraction:
        return self._segment_at(frame).beat_at(frame)

    def _exact_frame(self, beat: Fraction) -> Fraction:
        index = max(0, bisect_right(self.segments, beat, key=lambda s: s.beat) - 1)
        segment = self.segments[index]
        frame = segment.frame + (beat - segment.beat) / segment.beats_per_frame
        if index + 1 < len(self.segments):  # a beat that is jumped over falls on the jump
            return min(frame, Fraction(self.segments[index + 1].frame))
        return frame

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
