"""A stretch of constant tempo and signature: what a timeline is made of."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, SupportsIndex

from musicgen_rt.errors import ParameterError

BPM_RANGE = (20.0, 999.0)
BEATS_PER_BAR_RANGE = (1, 16)


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

    def beat_at(self, frame: int | Fraction) -> Fraction:
        """The exact beat at `frame` under this segment's tempo."""
        return self.beat + (frame - self.frame) * self.beats_per_frame

    def bar_position(self, beat: Fraction) -> tuple[int, Fraction]:
        """The number of the bar that holds `beat`, and the beats since its bar line."""
        bars, beats = divmod(beat - self.bar_beat, self.beats_per_bar)
        return self.bar + int(bars), beats

    def nearest_bar_position(self, beat: Fraction) -> tuple[int, Fraction]:
        """As `bar_position`, but within half a frame before a bar line it counts as reached."""
        bar, beats = self.bar_position(beat)
        beats_left = self.beats_per_bar - beats
        return (bar + 1, -beats_left) if beats_left <= self.beats_per_frame / 2 else (bar, beats)

    def continued(
        self, frame: int, bpm: float, beats_per_bar: int, beats_per_frame: Fraction
    ) -> Segment:
        """The segment that follows at `frame` without a jump in beats.

        A new signature begins a new bar: on the bar line when `frame` is nearest to one, otherwise
        at `frame` itself.
        """
        beat = self.beat_at(frame)
        new = replace(
            self,
            frame=frame,
            beat=beat,
            bpm=bpm,
            beats_per_bar=beats_per_bar,
            beats_per_frame=beats_per_frame,
        )
        if beats_per_bar == self.beats_per_bar:
            return new
        bar, beats_in = self.nearest_bar_position(beat)
        if beats_in <= self.beats_per_frame / 2:
            return replace(new, bar_beat=beat - beats_in, bar=bar)
        return replace(new, bar_beat=beat, bar=bar + 1)

    def has_tempo_of(self, other: Segment) -> bool:
        """Whether tempo and signature are the same."""
        return (self.bpm, self.beats_per_bar) == (other.bpm, other.beats_per_bar)

    def continues(self, before: Segment) -> bool:
        """Whether beats and bars go on from the segment before without a jump."""
        return self == before.continued(
            self.frame, self.bpm, self.beats_per_bar, self.beats_per_frame
        )

    def followed_by(self, others: Sequence[Segment]) -> list[Segment]:
        """Other segments, numbered so that the first one follows this one at its frame.

        The place in the bar may jump there; numbers of beats and bars go on from this segment's
        and never go back. A place that lies ahead is in the same bar, one behind in the next.
        """
        first = others[0]
        beat = self.beat_at(first.frame)
        bar, beats_in = self.nearest_bar_position(beat)
        other_bar, other_in = first.nearest_bar_position(first.beat)
        # Two roundings to frames may differ by half a frame of each tempo.
        tolerance_beats = (self.beats_per_frame + first.beats_per_frame) / 2
        line = beat - beats_in
        if other_in < beats_in - tolerance_beats:
            bar, line = bar + 1, line + self.beats_per_bar
        new_beat = max(line + other_in, beat)
        beats_on, bars_on = new_beat - first.beat, bar - other_bar
        if (other_in, first.beats_per_bar) == (beats_in, self.beats_per_bar):
            start = replace(first, beat=new_beat, bar_beat=self.bar_beat, bar=self.bar)
        else:
            start = replace(first, beat=new_beat, bar_beat=new_beat - other_in, bar=bar)
        return [start, *(one._renumbered(beats_on, bars_on, start) for one in others[1:])]

    def _renumbered(self, beats_on: Fraction, bars_on: int, start: Segment) -> Segment:
        bar_beat, bar = self.bar_beat + beats_on, self.bar + bars_on
        if bar < start.bar:  # its bars are counted from before the start: from the start's own line
            bar_beat, bar = start.bar_beat, start.bar
        return replace(self, beat=self.beat + beats_on, bar_beat=bar_beat, bar=bar)

    def to_json(self, before: Segment) -> list[Any]:
        """As a row for `json.dumps`, longer where the place jumps from that of the one before."""
        row: list[Any] = [self.frame, self.bpm, self.beats_per_bar]
        if self.continues(before):
            return row
        return [*row, str(self.beat), str(self.bar_beat), self.bar]


def segment_from_json(row: Sequence[Any], frame_rate_hz: Fraction, before: Segment) -> Segment:
    """The inverse of `Segment.to_json` where the place jumps.

    Raises ValueError or ParameterError for values that it did not make.
    """
    frame, bpm, beats_per_bar, beat, bar_beat, bar = row
    check_tempo(bpm, beats_per_bar)
    segment = Segment(
        frame=whole(frame, "the frame"),
        beat=Fraction(beat),
        bpm=float(bpm),
        beats_per_bar=beats_per_bar,
        bar_beat=Fraction(bar_beat),
        bar=whole(bar, "the bar"),
        beats_per_frame=beats_per_frame_of(bpm, frame_rate_hz),
    )
    if (
        segment.frame <= before.frame
        or segment.beat < before.beat_at(segment.frame)
        or segment.bar < before.bar
    ):
        raise ValueError(f"the segment at frame {segment.frame} does not follow the one before")
    return segment


def check_tempo(bpm: float, beats_per_bar: int) -> None:
    """Raise ParameterError naming the range."""
    low, high = BPM_RANGE
    if isinstance(bpm, bool) or not isinstance(bpm, int | float) or not low <= bpm <= high:
        raise ParameterError(f"the tempo is {bpm!r} bpm: expected {low:g} to {high:g}")
    fewest, most = BEATS_PER_BAR_RANGE
    if isinstance(beats_per_bar, bool) or not isinstance(beats_per_bar, int):
        raise ParameterError(f"beats_per_bar is {beats_per_bar!r}: expected a whole number")
    if not fewest <= beats_per_bar <= most:
        raise ParameterError(f"beats_per_bar is {beats_per_bar}: expected {fewest} to {most}")


def beats_per_frame_of(bpm: float, frame_rate_hz: Fraction) -> Fraction:
    """How far a beat gets in a frame, exactly."""
    return Fraction(bpm) / (60 * frame_rate_hz)


def whole(value: int, name: str) -> int:
    """A whole number as an int. Raises ParameterError."""
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise ParameterError(f"{name} is {value!r}: expected a whole number")
    return operator.index(value)


def exact(value: int | float | Fraction, name: str) -> Fraction:
    """A finite number as a fraction. Raises ParameterError."""
    if not math.isfinite(value):
        raise ParameterError(f"{name} is {value!r}: expected a finite number")
    return Fraction(value)
