"""How alike the sections of a song are: recalled ones with what they recall, and with the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musicgen_rt.live.song_plan import PlacedSection

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RecallFigure:
    """A recalled section beside the first statement of what it recalls.

    Similarities are means over bars of the same place. `unrelated` is the nearest of the sections
    that neither it recalls nor recall the same; None where all are related.
    """

    name: str
    first_statement: str
    similarity: float
    unrelated: str | None
    unrelated_similarity: float | None

    @property
    def is_closer(self) -> bool:
        """Whether it is closer to its first statement than to any unrelated section."""
        return self.unrelated_similarity is None or self.similarity > self.unrelated_similarity


def section_similarity(bars: Array, sections: Sequence[PlacedSection]) -> Array:
    """Between sections [S, S]: the mean of `bars` [B, B] over bars of the same place in both.

    The shorter section decides how many bars count. A section beside itself is 1.
    """
    count = len(sections)
    matrix = np.eye(count)
    for i in range(count):
        for j in range(i):
            shared = np.arange(min(sections[i].bars, sections[j].bars))
            rows = sections[i].first_bar + shared
            columns = sections[j].first_bar + shared
            matrix[i, j] = matrix[j, i] = bars[rows, columns].mean()
    return matrix


def first_statements(sections: Sequence[PlacedSection]) -> list[str]:
    """For each section the first one of its kind: itself, or what it recalls, and so on."""
    found: dict[str, str] = {}
    for section in sections:
        found[section.name] = found[section.recall] if section.recall else section.name
    return [found[section.name] for section in sections]


def recall_figures(matrix: Array, sections: Sequence[PlacedSection]) -> list[RecallFigure]:
    """A figure for each section that recalls, from `section_similarity`."""
    kinds = first_statements(sections)
    names = [section.name for section in sections]
    figures = []
    for index, section in enumerate(sections):
        if section.recall is None:
            continue
        others = [n for n, kind in enumerate(kinds) if kind != kinds[index]]
        nearest = max(others, key=lambda n: float(matrix[index, n]), default=None)
        figures.append(
            RecallFigure(
                section.name,
                kinds[index],
                float(matrix[index, names.index(kinds[index])]),
                None if nearest is None else names[nearest],
                None if nearest is None else float(matrix[index, nearest]),
            )
        )
    return figures
