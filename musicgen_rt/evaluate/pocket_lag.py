"""How late a take is, beat by beat, by its own rhythm: for a clock that changes under way.

The onsets of the bars before the change give a pattern. At each beat after it the pattern is laid
over the next beats, moved until it fits best; how far it had to be moved is the lag.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from musicgen_rt.evaluate.pocket_hearing import Array, onset_envelope
from musicgen_rt.evaluate.pocket_phase import ENVELOPE_HOP_SAMPLES, ENVELOPE_WINDOW
from musicgen_rt.evaluate.pocket_pieces import Take

_POINTS_PER_BEAT = 48
_WINDOW_BEATS = 4
_LAG_STEP_SECONDS = 0.005


def lags_seconds(take: Take, change_beat: int) -> Array:
    """The lag at each beat from `change_beat` on that has a whole window after it: [beats].

    The pattern is that of the whole bars before the change, so a lag is one against the take's own
    timing there. Empty if the take is too short.
    """
    grid = take.request.grid
    rate_hz = take.rate_hz / ENVELOPE_HOP_SAMPLES
    envelope = onset_envelope(take.samples, take.rate_hz, ENVELOPE_HOP_SAMPLES, ENVELOPE_WINDOW)
    places = np.arange(len(envelope)) / rate_hz
    meter = grid.beats_per_bar
    bars = change_beat // meter
    if bars < 1:
        return np.zeros(0)
    phases = np.arange(meter * _POINTS_PER_BEAT) / _POINTS_PER_BEAT
    first_beat = change_beat - bars * meter
    turns = first_beat + np.arange(bars)[:, None] * meter + phases
    pattern = np.interp(np.asarray(grid.seconds(turns)), places, envelope).mean(axis=0)
    last_beat = int(np.floor(float(grid.beats(take.seconds)))) - _WINDOW_BEATS
    return np.array(
        [_lag(envelope, places, pattern, take, beat) for beat in range(change_beat, last_beat)]
    )


def _lag(envelope: Array, places: Array, pattern: Array, take: Take, beat: int) -> float:
    """The lag of the window that begins on `beat`, at most half a beat either way."""
    grid = take.request.grid
    steps = np.arange(_WINDOW_BEATS * _POINTS_PER_BEAT)
    turns = beat + steps / _POINTS_PER_BEAT
    expected = pattern[(beat * _POINTS_PER_BEAT + steps) % len(pattern)]
    times = np.asarray(grid.seconds(turns))
    reach = 0.5 * 60.0 / float(np.mean(np.asarray(grid.bpm(times))))
    lags = np.arange(-reach, reach, _LAG_STEP_SECONDS)
    heard = np.interp(times[None] + lags[:, None], places, envelope)
    return float(lags[int(_correlation(heard, expected).argmax())])


def _correlation(rows: Array, expected: Array) -> NDArray[np.float64]:
    """Pearson's correlation of each row [L, P] with `expected` [P]."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    wanted = expected - expected.mean()
    norm = np.linalg.norm(centred, axis=1) * np.linalg.norm(wanted) + 1e-12
    correlation: Array = centred @ wanted / norm
    return correlation
