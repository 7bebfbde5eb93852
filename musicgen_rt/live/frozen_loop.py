"""The last bars in a loop: sample for sample as they were heard, on the grid for ever."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from musicgen_rt.contract.buffer import TimelineBuffer
from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.errors import HistoryError
from musicgen_rt.live.buffer_writer import Samples

_NEVER = 1 << 62


class LoopPlace:
    """Where the repetitions of a loop begin, in session samples."""

    def __init__(self, timeline: Timeline, frame: int, bars: int, hop_samples: int) -> None:
        """The first repetition begins at session frame `frame`."""
        self._hop, self._bars = hop_samples, bars
        self._bar = timeline.bar_at(frame)
        line_sample = self._line(timeline, self._bar)
        offset_samples = frame * hop_samples - line_sample
        # Within a frame of the bar line it is the bar line that is meant.
        self._offset = offset_samples if abs(offset_samples) >= hop_samples else 0

    def start_of(self, timeline: Timeline, repetition: int) -> int:
        """The sample at which a repetition begins; -1 is the one before the loop."""
        return self._line(timeline, self._bar + repetition * self._bars) + self._offset

    def around(self, timeline: Timeline, sample: int) -> tuple[int, int]:
        """The beginnings of the repetition that holds a sample, and of the next one."""
        bar = timeline.bar_at((sample - self._offset) // self._hop)
        repetition = (bar - self._bar) // self._bars
        while self.start_of(timeline, repetition) > sample:
            repetition -= 1
        while self.start_of(timeline, repetition + 1) <= sample:
            repetition += 1
        return self.start_of(timeline, repetition), self.start_of(timeline, repetition + 1)

    def _line(self, timeline: Timeline, bar: int) -> int:
        return round(timeline.bar_line_at(bar) * self._hop)


class FrozenLoop:
    """Repetitions of some bars, each from its own bar line on. One thread: the engine's.

    Bar lines are taken to the sample, not to the frame, so the loop's length does not waver. Where
    a new tempo makes the bars shorter the loop is cut, where it makes them longer it begins again.
    """

    def __init__(
        self, body: Samples, lead_in: Samples, timeline: Timeline, place: LoopPlace
    ) -> None:
        """`body` [C, N] is one repetition; `lead_in` [C, F] is what came before it."""
        self.timeline = timeline
        self.place = place
        self._body, self._lead_in = body, lead_in
        n = lead_in.shape[1]
        self._gain = (np.arange(n, dtype=np.float32) + 1) / (n + 1)

    def samples(self, first_sample: int, count: int) -> Samples:
        """What is heard of the loop at session samples [first, first + count): [C, count]."""
        parts = []
        end_sample = first_sample + count
        while first_sample < end_sample:
            start, next_start = self.place.around(self.timeline, first_sample)
            part_end = min(end_sample, next_start)
            parts.append(self._part(first_sample - start, part_end - start, next_start - start))
            first_sample = part_end
        return np.concatenate(parts, axis=1)

    def _part(self, first: int, end: int, length: int) -> Samples:
        """Samples [first, end) of a repetition of that length: [C, end - first]."""
        at, body_length = np.arange(first, end), self._body.shape[1]
        part = self._body[:, at % body_length]
        # Where a longer bar makes it begin again before its end, and at its end.
        again_at = (at // body_length + 1) * body_length
        for seam in (np.where(again_at < length, again_at, _NEVER), length):
            self._fade(part, at - (seam - self._lead_in.shape[1]))
        return part

    def _fade(self, part: Samples, into: NDArray[np.int64]) -> None:
        """From sample 0 of `into` [N] on, over into what came before the beginning.

        So a seam is as it was played.
        """
        is_fading = into >= 0
        gain = self._gain[into[is_fading]]
        part[:, is_fading] *= 1 - gain
        part[:, is_fading] += self._lead_in[:, into[is_fading]] * gain


def copied_loop(
    buffer: TimelineBuffer, timeline: Timeline, place: LoopPlace, fade_samples: int
) -> FrozenLoop:
    """The loop of what stands in the buffer before its place. Raises HistoryError if it does not.

    `fade_samples` is the length of the seam.
    """
    first, end = place.start_of(timeline, -1), place.start_of(timeline, 0)
    body = buffer.peek(first, end - first)
    if body.shape[1] < end - first or first < 0:
        seconds = (end - first) / buffer.rate_hz
        raise HistoryError(
            f"the last {seconds:.1f} s are not whole any more, or not yet: expected bars that "
            f"have been played, at most {buffer.history_samples / buffer.rate_hz:.0f} s of them"
        )
    lead_in = buffer.peek(max(0, first - fade_samples), min(first, fade_samples))
    if lead_in.shape[1] < fade_samples:  # they are the first bars of all: begin from silence
        lead_in = np.zeros((buffer.channels, fade_samples), dtype=np.float32)
    return FrozenLoop(body, lead_in, timeline, place)
