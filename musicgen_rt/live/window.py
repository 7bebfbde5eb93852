"""The rolling window: which frames the model sees, and when it moves on.

MusicGen's positions are absolute, so cached keys cannot be shifted. When the window is full the
last `context` frames are read again from position 0 on. Where a tempo is known the window moves on
a bar line and keeps whole bars, so that a beat keeps its place.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.errors import ParameterError

MIN_CONTEXT_FRAMES = 16
_NOTHING = range(0)


@dataclass(frozen=True)
class Window:
    """The frames behind a cache: `memory_frames` remembered ones, then [start, ...).

    `since` is the first diagonal made in this window.
    """

    start: int
    since: int
    memory_frames: int = 0

    def position_of(self, diagonal: int) -> int:
        """The input position whose output is `diagonal`, not counting a prefix."""
        return self.memory_frames + diagonal - self.start


@dataclass(frozen=True)
class WindowPlan:
    """When to roll and what to keep, all in frames.

    `capacity_frames` is the longest window, `context_frames` what a roll keeps at most. Whether to
    roll at a frame follows from the window and from what the timeline says up to that frame: later
    tempo changes do not count, known or not, so a replay rolls at the same frames.
    """

    capacity_frames: int
    context_frames: int

    def __post_init__(self) -> None:
        if not MIN_CONTEXT_FRAMES <= self.context_frames < self.capacity_frames:
            raise ParameterError(
                f"context of {self.context_frames} frames in a window of {self.capacity_frames}: "
                f"expected {MIN_CONTEXT_FRAMES} frames or more, and less than the window"
            )

    @property
    def longest_memory_frames(self) -> int:
        """What can be remembered in front of the context, with room for a step."""
        return self.capacity_frames - self.context_frames - 1

    def next_roll(self, window: Window, timeline: Timeline | None) -> int:
        """The first diagonal that is not made in `window` any more."""
        last = window.start + self.capacity_frames - window.memory_frames
        if timeline is None:
            return last
        # A roll must come after the last one and after what the next window would keep.
        earliest = max(window.since, window.start + self.context_frames) + 1
        for bar_start in timeline.bar_start_frames(earliest, last + 1):
            known = _known_at(timeline, bar_start)
            if known is not None and known.next_bar_start_at_or_after(bar_start + 1) > last:
                return bar_start
        return last

    def roll(
        self,
        since: int,
        timeline: Timeline | None,
        remembered: range = _NOTHING,
        max_bars: int | None = None,
    ) -> Window:
        """The window whose first made diagonal is `since`, with the `remembered` frames in front.

        Of those only the ones that lie before the window's own count. Where a tempo is known it
        keeps at most `max_bars`, unless they are hardly anything.
        """
        start = max(0, since - self.context_frames)
        known = None if timeline is None else _known_at(timeline, since)
        if known is not None and start > 0:
            whole_bars = known.whole_bars_before(since, self.context_frames)
            start = whole_bars if whole_bars < since else start  # a bar longer than the context
        if known is not None and max_bars is not None:
            few_bars = known.whole_bars_before(since, self.context_frames, max_bars)
            if few_bars <= since - MIN_CONTEXT_FRAMES:
                start = max(start, few_bars)
        memory_frames = max(0, min(remembered.stop, start) - remembered.start)
        return Window(start, since, memory_frames)


def _known_at(timeline: Timeline, frame: int) -> Timeline | None:
    """The timeline as one knows it who has heard up to `frame`: None before its first tempo."""
    count = bisect_right(timeline.segments, frame, key=lambda segment: segment.frame)
    return replace(timeline, segments=timeline.segments[:count]) if count else None
