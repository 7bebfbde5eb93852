"""The generator's music bent to another clock, or joined: material that follows at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from musicgen_rt.evaluate.pocket_pieces import Take, moved
from musicgen_rt.train.music.beat_grid import BeatGrid


def steady_grid(bpm: float, beats_per_bar: int, seconds: float) -> BeatGrid:
    """Beats of one tempo from second 0 to a bar line past the end."""
    beats = int(np.ceil(seconds * bpm / 60.0 / beats_per_bar) + 1) * beats_per_bar
    return BeatGrid(tuple(60.0 / bpm * beat for beat in range(beats + 1)), beats_per_bar)


def bent(take: Take, grid: BeatGrid, seconds: float) -> Take:
    """The take as a tape played so that its beats fall on `grid`'s (its pitch bends too).

    It lasts `seconds`, or as long as the music lasts. The melody's times are not bent.
    """
    times = np.arange(round(seconds * take.rate_hz)) / take.rate_hz
    sources = np.asarray(take.request.grid.seconds(grid.beats(times))) * take.rate_hz
    sources = sources[sources < len(take.samples) - 1]
    samples = np.interp(sources, np.arange(len(take.samples)), take.samples)
    request = replace(take.request, grid=grid, bpm=float(grid.bpm(0.0)))
    return Take(request, samples.astype(np.float32), take.rate_hz)


def joined(first: Take, second: Take, at_seconds: float) -> Take:
    """The first take up to a moment, the second from there on; the request's notes likewise.

    The grid stays that of the first.
    """
    cut = round(at_seconds * first.rate_hz)
    notes = (
        *(note for note in first.request.melody if note.end_seconds <= at_seconds),
        *moved(second.request, at_seconds).melody,
    )
    samples = np.concatenate([first.samples[:cut], second.samples])
    return Take(replace(first.request, melody=notes), samples, first.rate_hz)
