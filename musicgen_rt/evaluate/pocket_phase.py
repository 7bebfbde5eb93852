"""How far the beats of a take lie from the beats that were asked for.

First the place within the beat, to a sixteenth of it: a classifier sees the onsets folded at a
beat that begins there, by band, and how they vary over the bar, and knows from the generator's
clips what a beat begun in the right place looks like. (librosa's tracker locks onto off-beats in
one of six true takes with drums, and in half of those without.) Then the exact place: where
librosa's onset strength is highest near it. That peaks some milliseconds after an onset, on true
material too; so much is measured on the generator's clips and taken off.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from musicgen_rt.evaluate.pocket_hearing import MEL_RATE_HZ, Array, Hearing, onset_envelope
from musicgen_rt.evaluate.pocket_pieces import Take
from musicgen_rt.evaluate.pocket_tempo import tracked_beats
from musicgen_rt.train.music.beat_grid import BeatGrid

ENVELOPE_HOP_SAMPLES = 160
ENVELOPE_WINDOW = 1024
PLACES_PER_BEAT = 16

_FEWEST_BEATS = 4
_END_SECONDS = 0.05
# The exact place is looked for this far around the middle of a sixteenth of a beat, and a little
# later, where onset strength peaks.
_FINE_REACH_BEATS = 1 / 24
_FINE_LATER_SECONDS = 0.012
_FINE_STEP_SECONDS = 0.002
_EDGE_SECONDS = 0.3
_WINDOW_SECONDS_LEAST = 0.005


class PhaseJudge:
    """Finds how late beats are. Deterministic by its seed."""

    def __init__(self, seed: int) -> None:
        self._classifier = make_pipeline(
            StandardScaler(),
            MLPClassifier((48,), alpha=3.0, max_iter=200, random_state=seed),
        )
        self.bias_seconds = 0.0

    def fit(self, features: Array, is_beat: NDArray[np.bool_], true_lags_seconds: Array) -> None:
        """Learns from rows of `place_features`, and its bias from `fine_lag_seconds` at 0."""
        self._classifier.fit(features, is_beat)
        self.bias_seconds = float(np.median(true_lags_seconds))

    def late_seconds(self, take: Take, hearing: Hearing) -> float | None:
        """How late the take's beats are, at most half a beat either way; None if none are heard."""
        features = place_features(hearing, take.request.grid)
        if features is None or not hearing.onsets.any():
            return None
        place = int(self._classifier.predict_proba(features)[:, 1].argmax())
        late_beats = place / PLACES_PER_BEAT
        if late_beats > 0.5:
            late_beats -= 1.0
        return fine_lag_seconds(take, late_beats) - self.bias_seconds


def place_features(hearing: Hearing, grid: BeatGrid) -> Array | None:
    """The take as if its beats began at each place within them: [places, F]; None without a bar."""
    meter = grid.beats_per_bar
    strengths = _strengths(hearing, grid)
    bands, rows = len(strengths), []
    for place in range(PLACES_PER_BEAT):
        later = strengths[:, place:]
        bars = later.shape[1] // (PLACES_PER_BEAT * meter)
        if bars < 1:
            return None
        whole = later[:, : bars * meter * PLACES_PER_BEAT]
        bar = whole.reshape(bands, bars, meter, PLACES_PER_BEAT).mean(axis=1)
        # Sizes without phases: where the bar begins must not matter.
        waves = np.abs(np.fft.rfft(bar, axis=1)) / meter
        rows.append(np.concatenate([waves[:, 0], waves[:, 1], waves[:, -1]], axis=None))
    return np.array(rows)


def fine_lag_seconds(take: Take, late_beats: float) -> float:
    """The lag near `late_beats` under which onsets are strongest on the asked beats."""
    rate_hz = take.rate_hz / ENVELOPE_HOP_SAMPLES
    envelope = onset_envelope(take.samples, take.rate_hz, ENVELOPE_HOP_SAMPLES, ENVELOPE_WINDOW)
    grid = take.request.grid
    beats = np.arange(max(0, int(np.ceil(float(grid.beats(take.seconds - _EDGE_SECONDS))))))
    times = np.asarray(grid.seconds(beats))
    inside = times[times >= 0.0]
    beat_seconds = 60.0 / take.request.bpm
    reach = _FINE_REACH_BEATS * beat_seconds
    lags = late_beats * beat_seconds + np.arange(
        -reach, reach + _FINE_LATER_SECONDS, _FINE_STEP_SECONDS
    )
    places = (inside[None] + lags[:, None]) * rate_hz
    sums = np.interp(places, np.arange(len(envelope)), envelope, left=0.0, right=0.0).sum(axis=1)
    return float(lags[int(sums.argmax())])


def plain_late_seconds(take: Take) -> float | None:
    """The same by librosa's tracker alone, told about how fast the beats are; its bias is in it."""
    rate_hz = take.rate_hz / ENVELOPE_HOP_SAMPLES
    envelope = onset_envelope(take.samples, take.rate_hz, ENVELOPE_HOP_SAMPLES, ENVELOPE_WINDOW)
    beats = tracked_beats(envelope, rate_hz, take.request.bpm)
    return lateness_seconds(beats, take.request.grid) if len(beats) >= _FEWEST_BEATS else None


def lateness_seconds(beats: Array, grid: BeatGrid) -> float:
    """The usual lateness of beats at these times, on the circle of one beat.

    The median, taken around the circular mean so that beats half a beat off do not average to 0.
    """
    turns = np.asarray(grid.beats(beats))
    centre = float(np.angle(np.exp(2j * np.pi * turns).mean()) / (2 * np.pi))
    around = turns - centre
    deviation = around - np.round(around)
    late_beats = centre + float(np.median(deviation))
    late_beats -= round(late_beats)
    return late_beats * 60.0 / float(np.median(np.asarray(grid.bpm(beats))))


def _strengths(hearing: Hearing, grid: BeatGrid) -> Array:
    """Onset strength around every place of every whole beat, [bands, beats x places]."""
    onsets = np.vstack([hearing.onsets, hearing.note_onsets])
    onsets = onsets / (onsets.mean(axis=1, keepdims=True) + 1e-6)
    beats = max(0, int(np.floor(float(grid.beats(hearing.seconds - _END_SECONDS)))))
    turns = np.arange(beats * PLACES_PER_BEAT) / PLACES_PER_BEAT
    half = 0.5 / PLACES_PER_BEAT
    frames = onsets.shape[1]
    begin = np.clip(np.asarray(grid.seconds(turns - half)) * MEL_RATE_HZ, 0, frames)
    end = np.clip(np.asarray(grid.seconds(turns + half)) * MEL_RATE_HZ, 0, frames)
    width = np.maximum(end - begin, _WINDOW_SECONDS_LEAST * MEL_RATE_HZ)
    sums = np.pad(np.cumsum(onsets, axis=1), ((0, 0), (1, 0)))
    places = np.arange(frames + 1)
    return np.array(
        [(np.interp(end, places, row) - np.interp(begin, places, row)) / width for row in sums]
    )
