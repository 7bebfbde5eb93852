"""The loop: the last good whole bars again and again, every beat on the grid.

Beat by beat it is decided what of the history is played: the beat of the same number in the same
bar of the loop. As long as the tempo is that of the music kept, this is one continuous read; where
it is not, and where the loop begins anew, the read jumps, with a crossfade that ends on the line,
so that the attack there stays whole.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise, takewhile

import numpy as np
from numpy.typing import NDArray

from bridge.playout.fade import fade_in, mix
from bridge.playout.grid import BeatLine, Grid
from bridge.playout.history import History, Stretch

# The most whole bars of these that there are; powers of two keep phrases together.
_BARS = (4, 2, 1)
# Where there is not one whole bar, so many beats.
_BEATS = (2, 1)
# A read so far off its place goes on as it is: lines are rounded to samples.
_TOLERANCE_SECONDS = 0.0005


@dataclass(frozen=True)
class LoopBars:
    """What is repeated: for each bar the samples at which its beats begin in the history."""

    first_bar: int
    beats: tuple[tuple[int, ...], ...]

    def source_of(self, line: BeatLine) -> int:
        """The place in the history that belongs to a beat of the session."""
        bar = self.beats[(line.bar - self.first_bar) % len(self.beats)]
        return bar[line.beat % len(bar)]


def choose_bars(stretches: tuple[Stretch, ...], grid: Grid) -> LoopBars | None:
    """The last good whole bars, else beats; None if there are none."""
    by_bars = [_last_bars(stretch, grid) for stretch in reversed(stretches)]
    by_beats = [_last_beats(stretch, grid) for stretch in reversed(stretches)]
    return next((bars for bars in (*by_bars, *by_beats) if bars is not None), None)


class Loop:
    """The music of `LoopBars` from `first_sample` on, read in order. [pump]"""

    def __init__(
        self, history: History, bars: LoopBars, grid: Grid, first_sample: int, rate_hz: int
    ) -> None:
        self._history = history
        self._bars = bars
        self._fade_samples = round(0.008 * rate_hz)
        self._tolerance_samples = max(1, math.ceil(_TOLERANCE_SECONDS * rate_hz))
        self._position = first_sample
        line = grid.line_at_or_before(first_sample)
        self._offset = bars.source_of(line) - line.sample
        # Where the read jumped without a pre-roll, it fades in behind the jump.
        self._fades_in_from: int | None = None
        self.set_grid(grid)

    def set_grid(self, grid: Grid) -> None:
        """Follow another timeline from the next beat on."""
        self._grid = grid
        self._next = grid.line_after(self._position)

    def read(self, count: int) -> NDArray[np.float32]:
        """The next samples [C, count]."""
        parts = []
        while count > 0:
            jump = self._jump()
            if jump is not None and self._position >= self._next.sample - self._fade_samples:
                part = self._across(jump, count)
            else:
                edge = self._next.sample - (self._fade_samples if jump is not None else 0)
                part = self._plain(min(count, edge - self._position))
            parts.append(part)
            count -= part.shape[1]
            self._advance(part.shape[1])
        return np.concatenate(parts, axis=1)

    def _jump(self) -> int | None:
        """The offset from the next line on, None if the read simply goes on there."""
        offset = self._bars.source_of(self._next) - self._next.sample
        return None if abs(offset - self._offset) <= self._tolerance_samples else offset

    def _plain(self, count: int) -> NDArray[np.float32]:
        samples = self._history.read(self._position + self._offset, count)
        if self._fades_in_from is not None:
            begun = self._position - self._fades_in_from
            curve = fade_in(self._fade_samples)[begun : begun + count]
            samples[:, : len(curve)] *= curve
        return samples

    def _across(self, offset: int, count: int) -> NDArray[np.float32]:
        """The samples before a jump to `offset`: out of the old place, into the new one."""
        line = self._next.sample
        count = min(count, line - self._position)
        begun = self._fade_samples - (line - self._position)
        weights = fade_in(self._fade_samples)[begun : begun + count]
        incoming = self._history.read(self._position + offset, count)
        return mix(self._plain(count), incoming, weights)

    def _advance(self, count: int) -> None:
        self._position += count
        if self._fades_in_from is not None and (
            self._position >= self._fades_in_from + self._fade_samples
        ):
            self._fades_in_from = None
        if self._position < self._next.sample:
            return
        jump = self._jump()
        if jump is not None:
            self._offset = jump
            source = self._position + jump
            has_preroll = self._history.holds(source - self._fade_samples, source)
            self._fades_in_from = None if has_preroll else self._position
        self._next = self._grid.line_after(self._position)


def _lines(stretch: Stretch, grid: Grid) -> list[BeatLine]:
    """All beat lines from the start of the stretch to its end, that of the end included."""
    lines = grid.beat_lines(stretch.start)
    return list(takewhile(lambda line: line.sample <= stretch.end, lines))


def _last_bars(stretch: Stretch, grid: Grid) -> LoopBars | None:
    lines = _lines(stretch, grid)
    starts = [i for i, line in enumerate(lines) if line.beat == 0]
    whole = len(starts) - 1
    count = next((n for n in _BARS if n <= whole), 0)
    if count == 0:
        return None
    edges = starts[-1 - count :]
    beats = tuple(tuple(line.sample for line in lines[start:end]) for start, end in pairwise(edges))
    return LoopBars(lines[edges[0]].bar, beats)


def _last_beats(stretch: Stretch, grid: Grid) -> LoopBars | None:
    lines = _lines(stretch, grid)
    count = next((n for n in _BEATS if n <= len(lines) - 1), 0)
    if count == 0:
        return None
    # As one bar of so many beats; the first must stand on a beat of a bar with its own number.
    kept = lines[-1 - count : -1]
    if kept[0].beat % count:
        kept = [*kept[1:], kept[0]]
    return LoopBars(0, (tuple(line.sample for line in kept),))
