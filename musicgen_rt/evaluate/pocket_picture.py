"""A picture of a recording to look at: its spectrogram with the asked beats drawn into it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import librosa
import numpy as np

from musicgen_rt.errors import UnsupportedError
from musicgen_rt.evaluate.pocket_hearing import Array
from musicgen_rt.evaluate.pocket_pieces import Samples

_WIDTH_INCHES, _HEIGHT_INCHES, _DOTS_PER_INCH = 12.0, 4.0, 100
_FFT_SAMPLES = 2048
_HOP_SAMPLES = 512
_MEL_BANDS = 160
_LOWEST_HZ = 30.0
_RANGE_DB = 80.0
_COLOURS = 96
_TICKS_HZ = (100, 500, 1000, 2000, 5000, 10000)


def draw_spectrogram(
    path: Path,
    samples: Samples,
    rate_hz: int,
    title: str,
    beats_seconds: Sequence[float] = (),
    bars_seconds: Sequence[float] = (),
) -> None:
    """Writes a PNG of mono samples [N]: beats as dotted lines, bar lines as solid ones.

    Raises UnsupportedError without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
        from PIL import Image
    except ImportError as error:
        raise UnsupportedError(
            "drawing spectrograms needs matplotlib: install musicgen-rt[evaluate]"
        ) from error
    seconds = len(samples) / rate_hz
    figure = Figure(figsize=(_WIDTH_INCHES, _HEIGHT_INCHES), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(
        _mel_db(samples, rate_hz),
        origin="lower",
        aspect="auto",
        extent=(0.0, seconds, 0.0, float(_MEL_BANDS)),
        cmap="magma",
        interpolation="nearest",
    )
    _draw_lines(axes, beats_seconds, linewidth=0.5, linestyle=":", alpha=0.6)
    _draw_lines(axes, bars_seconds, linewidth=0.9, linestyle="-", alpha=0.8)
    centres = librosa.mel_frequencies(_MEL_BANDS, fmin=_LOWEST_HZ, fmax=rate_hz / 2)
    axes.set_yticks(
        np.interp(_TICKS_HZ, centres, np.arange(_MEL_BANDS)), [f"{hz} Hz" for hz in _TICKS_HZ]
    )
    axes.set_xlabel("seconds; lines are the asked beats, solid ones the bar lines")
    axes.set_title(title, fontsize=10)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=_DOTS_PER_INCH)
    # Few colours: a third of the size, and nothing less to see.
    with Image.open(drawn) as picture:
        picture.convert("RGB").quantize(_COLOURS).save(path, optimize=True)


def _mel_db(samples: Samples, rate_hz: int) -> Array:
    """The mel spectrogram [bands, T] in dB under its peak."""
    mel = librosa.feature.melspectrogram(
        y=samples,
        sr=rate_hz,
        n_fft=_FFT_SAMPLES,
        hop_length=_HOP_SAMPLES,
        n_mels=_MEL_BANDS,
        fmin=_LOWEST_HZ,
    )
    levels: Array = librosa.power_to_db(mel, ref=float(mel.max()) or 1.0, top_db=_RANGE_DB)
    return levels


def _draw_lines(axes: Any, seconds: Sequence[float], **style: Any) -> None:
    for second in seconds:
        axes.axvline(second, color="white", **style)
