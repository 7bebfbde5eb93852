"""Where the bar lines of a take lie, if its beats are where they were asked for.

Told the beats, but not which of them is a downbeat, the judge folds onsets and changes of harmony
at a bar's length and says how much each fold looks like a bar: 3 or 4 beats long, begun on which
beat. It learned that from clips of the generator and their codec's version, and never sees the
model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from musicgen_rt.evaluate.pocket_hearing import (
    BINS_PER_OCTAVE,
    CQT_RATE_HZ,
    MEL_RATE_HZ,
    Array,
    Hearing,
)
from musicgen_rt.train.music.beat_grid import BeatGrid

METERS = (3, 4)
# Whole bars of either metre: the stretch by which a change of metre is told.
WINDOW_BEATS = 12
_TATUMS_PER_BEAT = 4
# A tatum's strength is summed from a little before it: players are early at times.
_EARLY_PART = 0.4
_LOW_BINS = 2 * BINS_PER_OCTAVE
_END_SECONDS = 0.05


@dataclass(frozen=True)
class Beats:
    """A take by its asked beats: what begins in each quarter of a beat, how much harmony changes.

    `tatums` [bands, beats, 4], `changes` [4, beats], `low` [beats] the level of low notes.
    """

    tatums: Array
    changes: Array
    low: Array

    @property
    def count(self) -> int:
        """Whole beats."""
        return self.tatums.shape[1]

    def cut(self, first_beat: int, beats: int) -> Beats:
        """Some of the beats."""
        part = slice(first_beat, first_beat + beats)
        return Beats(self.tatums[:, part], self.changes[:, part], self.low[part])


class BarJudge:
    """One classifier a metre. Deterministic by its seed."""

    def __init__(self, seed: int) -> None:
        self._classifiers = {
            meter: make_pipeline(
                StandardScaler(),
                MLPClassifier((32,), alpha=3.0, max_iter=400, random_state=seed + meter),
            )
            for meter in METERS
        }
        # How often a fold is a bar among the lessons: metres differ in that.
        self._usual = dict.fromkeys(METERS, 0.0)

    def fit(self, rows: dict[int, tuple[Array, NDArray[np.bool_]]]) -> None:
        """Learns from rows of `training_folds`, by metre."""
        for meter, (features, is_bar) in rows.items():
            self._classifiers[meter].fit(features, is_bar)
            self._usual[meter] = _log_odds(float(is_bar.mean()))

    def shift(self, beats: Beats, meter: int) -> int | None:
        """The beat on which bars of a known length begin; None if there is not one whole bar."""
        evidence = self.evidence(beats, meter)
        return None if evidence is None else int(evidence.argmax())

    def evidence(self, beats: Beats, meter: int) -> Array | None:
        """For bars of `meter` beats begun on each of its beats [meter]: log odds over the usual.

        None if there is not one whole bar.
        """
        folds = [fold(beats, meter, shift) for shift in range(meter)]
        whole = [features for features in folds if features is not None]
        if len(whole) < meter:
            return None
        chances = self._classifiers[meter].predict_proba(np.array(whole))[:, 1]
        return np.array([_log_odds(float(chance)) - self._usual[meter] for chance in chances])


def training_folds(beats: Beats, meter: int) -> Iterator[tuple[int, Array, bool]]:
    """(metre, features, whether it is the bar) of every way to fold a take that starts on one.

    The whole take, and a short stretch of it, since the judge is asked about such too.
    """
    middle = beats.count // 2 // meter * meter
    for part in (beats, beats.cut(middle, WINDOW_BEATS)):
        for folded_meter in METERS:
            for shift in range(folded_meter):
                features = fold(part, folded_meter, shift)
                if features is not None:
                    yield folded_meter, features, folded_meter == meter and shift == 0


def beats_of(hearing: Hearing, grid: BeatGrid) -> Beats:
    """A take by the beats of its clock, from beat 0 to the last whole one."""
    count = max(0, int(np.floor(float(grid.beats(hearing.seconds - _END_SECONDS)))))
    numbers = np.arange(count)
    return Beats(
        _tatums(hearing.onsets, grid, numbers),
        _changes(hearing.cqt, grid, numbers),
        _per_beat(_compressed(hearing.cqt), grid, numbers)[:, :_LOW_BINS].mean(axis=1),
    )


def fold(beats: Beats, meter: int, shift: int) -> Array | None:
    """Features [F] of bars of `meter` beats begun on beat `shift`; None without a whole bar."""
    bars = (beats.count - shift) // meter
    if bars < 1:
        return None
    part = beats.cut(shift, bars * meter)
    bands = len(part.tatums)
    tatums = part.tatums.reshape(bands, bars, meter * _TATUMS_PER_BEAT).mean(axis=1)
    changes = part.changes.reshape(len(part.changes), bars, meter).mean(axis=1)
    low = part.low.reshape(1, bars, meter).mean(axis=1)
    # Each profile by its own mean: how a bar is shaped, not how loud it is.
    shapes = [rows / (rows.mean(axis=1, keepdims=True) + 1e-6) for rows in (tatums, changes, low)]
    return np.concatenate([shape.ravel() for shape in shapes])


def _tatums(onsets: Array, grid: BeatGrid, numbers: NDArray[np.int64]) -> Array:
    """Mean onset strength of each quarter of each beat, [bands, beats, 4]."""
    strengths = onsets / (onsets.mean(axis=1, keepdims=True) + 1e-6)
    steps = (numbers[:, None] + np.arange(_TATUMS_PER_BEAT) / _TATUMS_PER_BEAT).ravel()
    begin = np.asarray(grid.seconds(steps - _EARLY_PART / _TATUMS_PER_BEAT)) * MEL_RATE_HZ
    end = np.asarray(grid.seconds(steps + (1 - _EARLY_PART) / _TATUMS_PER_BEAT)) * MEL_RATE_HZ
    frames = strengths.shape[1]
    begin, end = np.clip(begin, 0, frames), np.clip(end, 0, frames)
    sums = np.pad(np.cumsum(strengths, axis=1), ((0, 0), (1, 0)))
    places = np.arange(frames + 1)
    means = [
        (np.interp(end, places, row) - np.interp(begin, places, row)) / np.maximum(end - begin, 1)
        for row in sums
    ]
    return np.array(means).reshape(len(onsets), len(numbers), _TATUMS_PER_BEAT)


def _changes(cqt: Array, grid: BeatGrid, numbers: NDArray[np.int64]) -> Array:
    """How unlike the beat before each beat's spectrum is, [4, beats]: all, low, high, octaves.

    The first beat has none before it and gets the mean.
    """
    notes = _per_beat(_compressed(cqt), grid, numbers)
    octaves = notes.shape[1] // BINS_PER_OCTAVE
    classes = notes.reshape(len(notes), octaves, BINS_PER_OCTAVE).sum(axis=1)
    views = (notes, notes[:, :_LOW_BINS], notes[:, _LOW_BINS:], classes)
    return np.stack([_novelty(view) for view in views])


def _novelty(rows: Array) -> Array:
    if len(rows) < 2:
        return np.zeros(len(rows))
    unit = rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-6)
    novelty = 1.0 - (unit[1:] * unit[:-1]).sum(axis=1)
    return np.concatenate([[novelty.mean()], novelty])


def _compressed(cqt: Array) -> Array:
    compressed: Array = np.log1p(30.0 * cqt / (cqt.max() + 1e-9))
    return compressed


def _per_beat(rows: Array, grid: BeatGrid, numbers: NDArray[np.int64]) -> Array:
    """The mean of rows [F, T'] within each beat, [beats, F]."""
    edges = np.asarray(grid.seconds(np.append(numbers, len(numbers)))) * CQT_RATE_HZ
    places = np.clip(edges.astype(np.int64), 0, rows.shape[1])
    sums = np.pad(np.cumsum(rows, axis=1), ((0, 0), (1, 0)))
    begin, end = places[:-1], np.minimum(np.maximum(places[1:], places[:-1] + 1), rows.shape[1])
    means: Array = ((sums[:, end] - sums[:, begin]) / np.maximum(end - begin, 1)).T
    return means


def _log_odds(chance: float) -> float:
    return float(np.log((chance + 1e-6) / (1.0 - chance + 1e-6)))
