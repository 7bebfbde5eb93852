"""The tempo that a listener would tap, told without knowing what was asked for.

librosa's own tempo is wrong by an octave on a third of the generator's clips with drums: in 60-180
BPM no prior tells 85 from 170. So the metrical level is learned, from clips of the generator and
their codec's version: how strongly do onsets in several bands repeat at a third, half, twice, ...
of a candidate's period? The judge never sees a clock, a style or the model.
"""

from __future__ import annotations

from dataclasses import dataclass

import librosa
import numpy as np
import scipy.stats
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from musicgen_rt.evaluate.pocket_hearing import MEL_RATE_HZ, Array, Hearing, onset_envelope
from musicgen_rt.evaluate.pocket_pieces import Take

# Where a candidate's repetitions are looked for, as multiples of its period.
_RATIOS = (1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4, 1.0, 4 / 3, 3 / 2, 2.0, 3.0, 4.0, 6.0, 8.0)
_GRID_STEP = 0.01
_LOWEST_BPM, _HIGHEST_BPM = 57.0, 188.0
CANDIDATES_BPM: Array = np.exp(
    np.arange(np.log(_LOWEST_BPM), np.log(_HIGHEST_BPM), _GRID_STEP, dtype=np.float64)
)
# A candidate this near the truth is one, in training.
_NEAR_PART = 0.012
_OTHERS_KEPT = 0.35
# Neighbours of the best candidate that have a say in where exactly the tempo is.
_AROUND = 2
_ENVELOPE_HOP_SAMPLES = 320
_ENVELOPE_WINDOW = 2048
_FEWEST_BEATS = 6
# Octaves and the other levels that metre confuses.
LEVELS = (1.0, 2.0, 0.5, 3.0, 1 / 3, 1.5, 2 / 3, 4 / 3, 0.75)


@dataclass(frozen=True)
class TempoGuess:
    """`bpm`, `confidence` 0-1, and `plain_bpm`: librosa's alone, for comparison."""

    bpm: float
    confidence: float
    plain_bpm: float


class TempoJudge:
    """A classifier of candidate tempi. Deterministic by its seed."""

    def __init__(self, seed: int) -> None:
        self._classifier = HistGradientBoostingClassifier(
            max_iter=200, learning_rate=0.08, random_state=seed
        )

    def fit(self, features: Array, is_right: NDArray[np.bool_]) -> None:
        """Learns from rows of `training_rows`."""
        self._classifier.fit(features, is_right)

    def guess(self, take: Take, hearing: Hearing) -> TempoGuess:
        """The tempo of a take."""
        chances = self._classifier.predict_proba(candidate_features(hearing))[:, 1]
        best = int(chances.argmax())
        near = slice(max(0, best - _AROUND), best + _AROUND + 1)
        # Between candidates, by how likely the best one's neighbours are.
        bpm = float(np.exp(np.average(np.log(CANDIDATES_BPM[near]), weights=chances[near])))
        return TempoGuess(bpm, float(chances[best]), _plain_bpm(take))


def candidate_features(hearing: Hearing) -> Array:
    """How each candidate's period repeats: [candidates, bands x ratios + 1]."""
    repetition = _repetition(hearing.onsets)
    lags = 60.0 * MEL_RATE_HZ / CANDIDATES_BPM
    places = np.arange(repetition.shape[1])
    columns = []
    for ratio in _RATIOS:
        nearby = [
            [np.interp(lags * ratio * slack, places, row) for row in repetition]
            for slack in (0.992, 1.0, 1.008)
        ]
        columns.append(np.max(nearby, axis=0))
    return np.column_stack([np.concatenate(columns).T, np.log(CANDIDATES_BPM)])


def training_rows(
    hearing: Hearing, bpm: float, rng: np.random.Generator
) -> tuple[Array, NDArray[np.bool_]]:
    """Candidates of a take whose tempo is known: all right ones and a share of the others."""
    is_right = np.abs(CANDIDATES_BPM / bpm - 1.0) < _NEAR_PART
    kept = is_right | (rng.random(len(is_right)) < _OTHERS_KEPT)
    return candidate_features(hearing)[kept].astype(np.float64), is_right[kept]


def is_within(bpm: float, asked_bpm: float, part: float) -> bool:
    """Whether a tempo is within a share of another; an octave off is not."""
    return abs(bpm / asked_bpm - 1.0) <= part


def is_within_any_level(bpm: float, asked_bpm: float, part: float) -> bool:
    """The same, octaves and thirds forgiven."""
    return any(is_within(bpm * level, asked_bpm, part) for level in LEVELS)


def _repetition(onsets: Array) -> Array:
    """Autocorrelation of each band and of their sum [bands + 1, T], 1 at lag 0."""
    rows = np.vstack([onsets, onsets.mean(axis=0)])
    rows = rows - rows.mean(axis=1, keepdims=True)
    frames = rows.shape[1]
    correlation = librosa.autocorrelate(rows, axis=1)
    # A long lag has fewer pairs.
    pairs = np.maximum(frames - np.arange(frames), frames / 4)
    repetition: Array = correlation / np.maximum(correlation[:, :1], 1e-9) * (frames / pairs)
    return repetition


def _plain_bpm(take: Take) -> float:
    """librosa's tempo with a wide uniform prior, refined by the slope of its beats."""
    envelope = onset_envelope(take.samples, take.rate_hz, _ENVELOPE_HOP_SAMPLES, _ENVELOPE_WINDOW)
    rate_hz = take.rate_hz / _ENVELOPE_HOP_SAMPLES
    prior = scipy.stats.uniform(_LOWEST_BPM, _HIGHEST_BPM - _LOWEST_BPM)
    [bpm] = librosa.feature.tempo(onset_envelope=envelope, sr=rate_hz, hop_length=1, prior=prior)
    beats = tracked_beats(envelope, rate_hz, float(bpm))
    if len(beats) < _FEWEST_BEATS:
        return float(bpm)
    # The median of slopes between beats far apart (Theil-Sen).
    slope = float(scipy.stats.theilslopes(beats, np.arange(len(beats)))[0])
    return 60.0 / slope if slope > 0 else float(bpm)


def tracked_beats(envelope: Array, rate_hz: float, bpm: float) -> Array:
    """The times in seconds of librosa's beats at about `bpm`."""
    if not envelope.any():
        return np.zeros(0)
    _, frames = librosa.beat.beat_track(
        onset_envelope=envelope, sr=rate_hz, hop_length=1, bpm=bpm, trim=False
    )
    return np.asarray(frames, dtype=np.float64) / rate_hz
