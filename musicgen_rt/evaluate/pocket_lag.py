"""How late a take is, beat by beat, by its own rhythm: for a clock that changes under way.

The onsets of the bars before the change, by band, give a pattern. At each beat after it the pattern
is laid over the next beats, moved until it fits best; how far it had to be moved is the lag.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from musicgen_rt.evaluate.pocket_hearing import MEL_RATE_HZ, Array, listen
from musicgen_rt.evaluate.pocket_pieces import Take
from musicgen_rt.train.music.beat_grid import BeatGrid

LAG_WINDOW_BEATS = 4
_POINTS_PER_BEAT = 48
_LAG_STEP_SECONDS = 0.005


def lags_seconds(take: Take, change_beat: int) -> Array:
    """The lag at each beat from `change_beat` on that has a whole window after it: [beats].

    The pattern is that of the whole bars before the change, so a lag is one against the take's own
    timing there. Empty if the take is too short.
    """
    grid = take.request.grid
    onsets = listen(take).onsets
    onsets = onsets / (onsets.std(axis=1, keepdims=True) + 1e-9)
    bars = change_beat // grid.beats_per_bar
    if bars < 1:
        return np.zeros(0)
    phases = np.arange(grid.beats_per_bar * _POINTS_PER_BEAT) / _POINTS_PER_BEAT
    lines = change_beat - np.arange(1, bars + 1) * grid.beats_per_bar
    turns = lines[:, None] + phases
    pattern = _at(onsets, np.asarray(grid.seconds(turns))).mean(axis=1)
    last_beat = int(np.floor(float(grid.beats(take.seconds)))) - LAG_WINDOW_BEATS
    lags = []
    for beat in range(change_beat, last_beat):
        steps = (beat - change_beat) * _POINTS_PER_BEAT
        lags.append(_lag(onsets, np.roll(pattern, -steps, axis=1), grid, beat))
    return np.array(lags)


def _lag(onsets: Array, pattern: Array, grid: BeatGrid, beat: int) -> float:
    """The lag of the window that begins on `beat`, as the pattern does; at most half a beat."""
    steps = np.arange(LAG_WINDOW_BEATS * _POINTS_PER_BEAT)
    times = np.asarray(grid.seconds(beat + steps / _POINTS_PER_BEAT))
    expected = pattern[:, steps % pattern.shape[1]]
    reach = 0.5 * 60.0 / float(np.mean(np.asarray(grid.bpm(times))))
    lags = np.arange(-reach, reach, _LAG_STEP_SECONDS)
    heard = _at(onsets, times[None] + lags[:, None])
    return float(lags[int(_correlation(heard, expected).argmax())])


def _at(onsets: Array, times: Array) -> Array:
    """Onset strengths [bands, ...] at times [...]."""
    places = np.arange(onsets.shape[1])
    return np.stack([np.interp(times * MEL_RATE_HZ, places, row) for row in onsets])


def _correlation(heard: Array, expected: Array) -> NDArray[np.float64]:
    """Pearson's correlation, over bands and time, of each lag's strengths.

    `heard` [bands, lags, points], `expected` [bands, points] -> [lags].
    """
    rows = heard.transpose(1, 0, 2).reshape(heard.shape[1], -1)
    centred = rows - rows.mean(axis=1, keepdims=True)
    wanted = expected.ravel() - expected.mean()
    norm = np.linalg.norm(centred, axis=1) * np.linalg.norm(wanted) + 1e-12
    correlation: Array = centred @ wanted / norm
    return correlation
