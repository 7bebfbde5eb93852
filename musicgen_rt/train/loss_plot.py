"""Draws the curves of a run's metrics as an SVG file, by hand: no plotting library is needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from musicgen_rt.errors import CheckpointError
from musicgen_rt.train.metrics import METRICS_FILE, read_metrics
from musicgen_rt.train.whole_file import make_folder, write_atomically

_WIDTH, _HEIGHT, _MARGIN = 900, 480, 60
_COLOURS = ("#1b6ca8", "#d1495b", "#2e8b57", "#8a5cc2", "#c7861b", "#4a4a4a", "#0b8f8f", "#a83279")
_TICKS = 5
Curve = list[tuple[float, float]]


def plot_run(run_folder: Path, out: Path, names: Sequence[str]) -> None:
    """Draws the named metrics over steps. Raises CheckpointError if none of them was recorded."""
    rows = read_metrics(run_folder)
    curves = {
        name: [
            (float(row["step"]), float(row[name]))
            for row in rows
            if math.isfinite(row.get(name, math.nan))
        ]
        for name in names
    }
    curves = {name: curve for name, curve in curves.items() if curve}
    if not curves:
        found = sorted({name for row in rows for name in row})
        path = run_folder / METRICS_FILE
        raise CheckpointError(f"{path} has none of {list(names)}; it has {', '.join(found)}")
    make_folder(out.parent)
    write_atomically(out, draw(curves))


def draw(curves: dict[str, Curve]) -> str:
    """An SVG of curves of finite points (step, value)."""
    points = [point for curve in curves.values() for point in curve]
    low_x, high_x = min(x for x, _ in points), max(x for x, _ in points)
    low_y, high_y = min(y for _, y in points), max(y for _, y in points)

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - low_x) / ((high_x - low_x) or 1.0)
        up = (y - low_y) / ((high_y - low_y) or 1.0)
        inner_width, inner_height = _WIDTH - 2 * _MARGIN, _HEIGHT - 2 * _MARGIN
        return _MARGIN + across * inner_width, _HEIGHT - _MARGIN - up * inner_height

    size = f'width="{_WIDTH}" height="{_HEIGHT}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
        f'<rect {size} fill="white"/>',
    ]
    for tick in range(_TICKS + 1):
        value_x = low_x + (high_x - low_x) * tick / _TICKS
        value_y = low_y + (high_y - low_y) * tick / _TICKS
        x, y = place(value_x, value_y)
        parts.append(
            f'<line x1="{_MARGIN}" x2="{_WIDTH - _MARGIN}" y1="{y:.1f}" y2="{y:.1f}" '
            'stroke="#ddd"/>'
        )
        parts.append(f'<text x="8" y="{y + 4:.1f}">{value_y:.4g}</text>')
        parts.append(f'<text x="{x - 12:.1f}" y="{_HEIGHT - _MARGIN + 18}">{value_x:.0f}</text>')
    for index, (name, curve) in enumerate(curves.items()):
        colour = _COLOURS[index % len(_COLOURS)]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in curve))
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}"/>')
        parts.append(
            f'<text x="{_WIDTH - _MARGIN - 180}" y="{_MARGIN + 16 * index}" fill="{colour}">'
            f"{name}</text>"
        )
    return "\n".join([*parts, "</svg>"]) + "\n"
