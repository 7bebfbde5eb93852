"""A picture of a song's form: self-similarity of its bars and sections, and its levels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from musicgen_rt.errors import AudioFileError, UnsupportedError
from musicgen_rt.evaluate.form_report import Form

_WIDTH_INCHES, _HEIGHT_INCHES, _DOTS_PER_INCH = 12.0, 9.5, 100


def draw_form(path: Path, form: Form) -> None:
    """Writes a PNG: chroma, timbre, sections beside sections, and the level of each bar.

    Raises UnsupportedError without matplotlib, AudioFileError where it cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UnsupportedError("drawing needs matplotlib: install musicgen-rt[evaluate]") from error
    figure = Figure(figsize=(_WIDTH_INCHES, _HEIGHT_INCHES), layout="constrained")
    (chroma, timbre), (sections, level) = figure.subplots(2, 2)
    figure.suptitle(f"{form.song.title}: how alike bars and sections are")
    _draw_bars(chroma, form, form.chroma, "chroma, bar by bar")
    _draw_bars(timbre, form, form.timbre, "timbre, bar by bar")
    _draw_sections(sections, form)
    _draw_level(level, form)
    try:
        figure.savefig(path, dpi=_DOTS_PER_INCH)
    except (OSError, ValueError) as error:
        raise AudioFileError(f"{path} cannot be written as a picture ({error})") from error


def _draw_bars(axes: Any, form: Form, matrix: NDArray[np.float64], title: str) -> None:
    count = len(matrix)
    axes.imshow(matrix, origin="lower", cmap="magma", vmin=-0.5, vmax=1.0, extent=(0, count) * 2)
    for section in form.song.sections[1:]:
        for line in (axes.axvline, axes.axhline):
            line(section.first_bar, color="white", linewidth=0.6, alpha=0.7)
    middles, names = _labels(form)
    axes.set_xticks(middles, names, rotation=60, fontsize=8)
    axes.set_yticks(middles, names, fontsize=8)
    axes.set_title(title, fontsize=10)


def _draw_sections(axes: Any, form: Form) -> None:
    matrix = form.sections
    axes.imshow(matrix, cmap="magma", vmin=-0.5, vmax=1.0)
    for row, column in np.ndindex(*matrix.shape):
        axes.text(
            column, row, f"{matrix[row, column]:.2f}", ha="center", va="center", fontsize=7,
            color="black" if matrix[row, column] > 0.5 else "white",
        )  # fmt: skip
    names = _labels(form)[1]
    axes.set_xticks(range(len(names)), names, rotation=60, fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_title("sections, chroma and timbre together", fontsize=10)


def _draw_level(axes: Any, form: Form) -> None:
    levels = form.features.level_db
    axes.step(np.arange(len(levels)), levels, where="post", color="#4477aa")
    for section in form.song.sections[1:]:
        axes.axvline(section.first_bar, color="grey", linewidth=0.6)
    axes.set(xlabel="bar", ylabel="level of the bar, dBFS (RMS)")
    axes.set_title("level", fontsize=10)


def _labels(form: Form) -> tuple[list[float], list[str]]:
    sections = form.song.sections
    return [one.first_bar + one.bars / 2 for one in sections], [one.name for one in sections]
