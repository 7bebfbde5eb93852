"""What each bar of a recording sounds like, and how much bars sound alike.

Heard through librosa only. A bar is four parts of chroma, so that a tune's order counts, and the
mean and spread of its cepstrum, which is its timbre.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import librosa
import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
Array = NDArray[np.float64]

PARTS_A_BAR = 4
_CHROMA_FFT_SAMPLES = 8192
_HOP_SAMPLES = 1024
_CEPSTRA = 13
_LEAST_SPREAD = 1e-9


@dataclass(frozen=True)
class BarFeatures:
    """Of B bars: chroma [B, 4 * 12], timbre [B, 24], and the level of each in dB [B]."""

    chroma: Array
    timbre: Array
    level_db: Array


def bar_features(samples: Samples, rate_hz: int, bar_seconds: Sequence[float]) -> BarFeatures:
    """The features of the bars between the B + 1 given bar lines of mono samples [N]."""
    chroma = librosa.feature.chroma_stft(
        y=samples, sr=rate_hz, n_fft=_CHROMA_FFT_SAMPLES, hop_length=_HOP_SAMPLES, tuning=0.0
    )
    # Without the zeroth, which is loudness.
    cepstra = librosa.feature.mfcc(y=samples, sr=rate_hz, n_mfcc=_CEPSTRA, hop_length=_HOP_SAMPLES)[
        1:
    ]
    frames_a_second = rate_hz / _HOP_SAMPLES
    rows: list[tuple[Array, Array, float]] = []
    for begin, end in itertools.pairwise(bar_seconds):
        edges = np.linspace(begin, end, PARTS_A_BAR + 1) * frames_a_second
        parts = [_mean(chroma, a, b) for a, b in itertools.pairwise(edges)]
        inside = cepstra[:, _span(edges[0], edges[-1], cepstra.shape[1])].astype(np.float64)
        timbre = np.concatenate([inside.mean(axis=1), inside.std(axis=1)])
        heard = samples[round(begin * rate_hz) : round(end * rate_hz)].astype(np.float64)
        level_db = 10 * np.log10(float(np.square(heard).mean()) + 1e-12)
        rows.append((np.concatenate(parts), timbre, level_db))
    chroma_rows, timbre_rows, levels = zip(*rows, strict=True)
    return BarFeatures(np.stack(chroma_rows), np.stack(timbre_rows), np.asarray(levels))


def similarity(features: Array) -> Array:
    """Cosines [B, B], -1 to 1, between rows [B, D] that are measured from the song's mean.

    Each column is scaled to the same spread: without it what all bars share would be most of every
    cosine.
    """
    centred = features - features.mean(axis=0)
    centred /= np.maximum(centred.std(axis=0), _LEAST_SPREAD)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    directions = centred / np.maximum(lengths, _LEAST_SPREAD)
    cosines: Array = directions @ directions.T
    return cosines


def _mean(rows: NDArray[np.floating], begin: float, end: float) -> Array:
    mean: Array = rows[:, _span(begin, end, rows.shape[1])].mean(axis=1, dtype=np.float64)
    return mean


def _span(begin: float, end: float, count: int) -> slice:
    """The frames from `begin` to `end`, at least one of the `count`."""
    first = min(round(begin), count - 1)
    return slice(first, max(first + 1, min(round(end), count)))
