"""A picture of an audio report: the distance over the number of samples, and the clips' figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from musicgen_rt.errors import AudioFileError, UnsupportedError

_WIDTH_INCHES, _HEIGHT_INCHES, _DOTS_PER_INCH = 11.0, 3.6, 100


def draw_audio_report(path: Path, report: dict[str, Any]) -> None:
    """Writes a PNG of what `evaluate_audio` made.

    Raises UnsupportedError without matplotlib, AudioFileError where it cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UnsupportedError("drawing needs matplotlib: install musicgen-rt[evaluate]") from error
    figure = Figure(figsize=(_WIDTH_INCHES, _HEIGHT_INCHES), layout="constrained")
    distance, tempo, loudness = figure.subplots(1, 3)
    _draw_distance(distance, report["fad"])
    clips = report["clips"]
    asked = [
        (one["asked_bpm"], one["heard_bpm"]) for one in clips if one["tempo_error"] is not None
    ]
    _draw_tempo(tempo, asked)
    levels = [one["loudness_lufs"] for one in clips if one["loudness_lufs"] is not None]
    loudness.hist(levels, bins=20, color="#4477aa")
    loudness.set(title="loudness", xlabel="LUFS", ylabel="clips")
    try:
        figure.savefig(path, dpi=_DOTS_PER_INCH)
    except (OSError, ValueError) as error:
        raise AudioFileError(f"{path} cannot be written as a picture ({error})") from error


def _draw_distance(axes: Any, fad: dict[str, Any]) -> None:
    axes.set(title=f"Fréchet distance, {fad['embedding']}", xlabel="1 / windows", ylabel="distance")
    line = fad["infinity"]
    if line is None:
        axes.plot([1 / fad["windows"]["generated"]], [fad["distance"]], "o", color="#4477aa")
        return
    inverse = 1.0 / np.asarray(line["counts"], float)
    axes.plot(inverse, line["distances"], "o", color="#4477aa", label="subsets")
    ends = np.array([0.0, inverse.max()])
    axes.plot(ends, line["distance"] + line["slope"] * ends, color="#cc6677",
              label=f"at infinity {line['distance']:.2f}")  # fmt: skip
    axes.legend(fontsize=8)


def _draw_tempo(axes: Any, asked: list[tuple[float, float]]) -> None:
    axes.set(title="tempo", xlabel="asked BPM", ylabel="heard BPM")
    if not asked:
        axes.text(0.5, 0.5, "nothing asked", ha="center", transform=axes.transAxes)
        return
    wanted, heard = zip(*asked, strict=True)
    ends = [min(wanted), max(wanted)]
    axes.plot(ends, ends, color="#cc6677")
    axes.plot(wanted, heard, "o", color="#4477aa")
