"""The grid: where beats and bar lines lie in session samples.

The timeline counts codec frames; here they become samples, each line rounded once from its exact
place, so that loops of whole bars do not drift.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from musicgen_rt.contract.timeline import Timeline

# A line rounded down lies just under half a sample before its exact place. Not half a sample: a
# line exactly between two samples goes to the later one, and must not be found at the earlier.
_ROUNDING_SAMPLES = 0.5 - 1e-6


@dataclass(frozen=True)
class BeatLine:
    """Beat number `beat` (from 0) of bar number `bar` begins at `sample`."""

    bar: int
    beat: int
    sample: int


@dataclass(frozen=True)
class Grid:
    """A timeline in samples; `hop_samples` make one codec frame."""

    timeline: Timeline
    hop_samples: int

    def line_at_or_before(self, sample: int) -> BeatLine:
        """The beat line that `sample` lies on or behind."""
        frame = (sample + _ROUNDING_SAMPLES) / self.hop_samples
        bar, beats = self.timeline.bar_position_at(frame)
        beat = math.floor(beats)
        line = self.timeline.beat_at(frame) - (beats - beat)
        return BeatLine(bar, beat, self.sample_at_beat(line))

    def line_after(self, sample: int) -> BeatLine:
        """The first beat line behind `sample`."""
        frame = (sample + _ROUNDING_SAMPLES) / self.hop_samples
        _, beats = self.timeline.bar_position_at(frame)
        to_next = math.floor(beats) + 1 - beats
        at = self.sample_at_beat(self.timeline.beat_at(frame) + to_next)
        # A change of signature can begin a bar between two beats.
        cuts = [
            segment.frame * self.hop_samples
            for segment in self.timeline.segments
            if segment.bar_beat == segment.beat and sample < segment.frame * self.hop_samples < at
        ]
        return self.line_at_or_before(max(sample + 1, min([at, *cuts])))

    def beat_lines(self, first_sample: int) -> Iterator[BeatLine]:
        """The beat lines from `first_sample` on, without end."""
        line = self.line_after(first_sample - 1)
        while True:
            yield line
            line = self.line_after(line.sample)

    def bar_line_at_or_after(self, sample: int) -> BeatLine:
        """The first bar line that is not before `sample`."""
        return next(line for line in self.beat_lines(sample) if line.beat == 0)

    def sample_at_beat(self, beat: float) -> int:
        """The sample nearest to a place in beats."""
        return math.floor(self.timeline.frame_at(beat) * self.hop_samples + 0.5)
