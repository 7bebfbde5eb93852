"""A picture of a melody: the asked notes over the chroma of what is heard, with the beat grid."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import librosa
import numpy as np
from numpy.typing import NDArray

from musicgen_rt.errors import UnsupportedError

_WIDTH_INCHES, _HEIGHT_INCHES, _DOTS_PER_INCH = 12.0, 4.0, 100
_FFT_SAMPLES = 8192
HOPS_A_SECOND = 50
_NAMES = ("C", "", "D", "", "E", "F", "", "G", "", "A", "", "B")


def draw_melody(
    path: Path,
    samples: NDArray[np.float32],
    rate_hz: int,
    asked_classes: Sequence[int],
    title: str,
    beats_seconds: Sequence[float] = (),
    bars_seconds: Sequence[float] = (),
) -> None:
    """Writes a PNG of mono samples [N] and the pitch class asked for at 50 frames a second [T].

    12 is a rest. Beats are dotted lines, bar lines solid ones. Raises UnsupportedError without
    matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UnsupportedError(
            "drawing melodies needs matplotlib: install musicgen-rt[evaluate]"
        ) from error
    hop = rate_hz // HOPS_A_SECOND
    chroma = librosa.feature.chroma_stft(
        y=samples, sr=rate_hz, n_fft=_FFT_SAMPLES, hop_length=hop, tuning=0.0
    )
    seconds = len(samples) / rate_hz
    figure = Figure(figsize=(_WIDTH_INCHES, _HEIGHT_INCHES), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(
        chroma,
        origin="lower",
        aspect="auto",
        extent=(0.0, seconds, -0.5, 11.5),
        cmap="magma",
        interpolation="nearest",
    )
    for begin, end, one in _runs(asked_classes):
        left, right = begin / HOPS_A_SECOND, min(end / HOPS_A_SECOND, seconds)
        for edge in (one - 0.5, one + 0.5):
            axes.plot([left, right], [edge, edge], color="cyan", linewidth=1.2)
    for second in beats_seconds:
        axes.axvline(second, color="white", linewidth=0.6, linestyle=":", alpha=0.7)
    for second in bars_seconds:
        axes.axvline(second, color="white", linewidth=0.9, alpha=0.8)
    axes.set_yticks(range(12), _NAMES)
    axes.set_xlabel("seconds; cyan: the asked notes; lines: beats, solid ones bar lines")
    axes.set_title(title, fontsize=10)
    figure.savefig(path, format="png", dpi=_DOTS_PER_INCH)


def _runs(classes: Sequence[int]) -> list[tuple[int, int, int]]:
    """The stretches of one pitch class: first frame, end frame, class; rests are left out."""
    edges = [0, *(np.flatnonzero(np.diff(classes)) + 1).tolist(), len(classes)]
    return [
        (begin, end, int(classes[begin]))
        for begin, end in pairwise(edges)
        if begin < end and classes[begin] < 12
    ]
