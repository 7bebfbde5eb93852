"""A text and how much it counts, as songs and recipes hold it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Prompt:
    """A text and its weight in the mix."""

    text: str
    weight: float = 1.0
