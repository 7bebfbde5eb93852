"""Rhythms written as strings, a character a step of a quarter of a beat."""

from __future__ import annotations

STEPS_PER_BEAT = 4
STEP_BEATS = 1.0 / STEPS_PER_BEAT


def fit_pattern(pattern: str, beats_per_bar: int) -> str:
    """`pattern` cut or repeated to one bar; a held note that is cut off stays held to its end."""
    steps = beats_per_bar * STEPS_PER_BEAT
    return (pattern * (steps // len(pattern) + 1))[:steps]


def held_steps(pattern: str, step: int) -> int:
    """How many steps the event at `step` lasts: itself and each `-` that follows."""
    end = step + 1
    while end < len(pattern) and pattern[end] == "-":
        end += 1
    return end - step
