"""The figures of a training run: a JSON object a line, in the order of its steps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from musicgen_rt.errors import CheckpointError
from musicgen_rt.train.whole_file import write_atomically

METRICS_FILE = "metrics.jsonl"


def append_metrics(folder: Path, row: Mapping[str, Any]) -> None:
    """Adds a line to the run's metrics. Raises CheckpointError when it cannot be written."""
    path = folder / METRICS_FILE
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
    except OSError as error:
        raise CheckpointError(f"{path} cannot be written ({error.strerror}); make room") from error


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """All whole lines; one that was being written when the run was killed is passed over.

    Raises CheckpointError if there is no such file.
    """
    path = folder / METRICS_FILE
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read as metrics: {error}") from error
    return [row for row in map(_row, lines) if row is not None]


def keep_metrics(folder: Path, last_step: int) -> None:
    """Drops the lines of steps after `last_step`, and what is no whole line."""
    path = folder / METRICS_FILE
    if not path.exists():
        return
    kept = [row for row in read_metrics(folder) if row["step"] <= last_step]
    text = "".join(json.dumps(row) + "\n" for row in kept)
    if text != path.read_text(encoding="utf-8", errors="replace"):
        write_atomically(path, text)


def _row(line: str) -> dict[str, Any] | None:
    """A line's object with its step; None for a torn line."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    has_step = isinstance(row, dict) and isinstance(row.get("step"), int | float)
    return row if has_step else None
