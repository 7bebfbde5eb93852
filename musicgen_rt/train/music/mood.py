"""Moods, as two numbers that bend the mode, the tempo, the tone and the activity of a clip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

_BRIGHT_MODES = ("major", "mixolydian")
_DARK_MODES = ("minor", "phrygian")


@dataclass(frozen=True)
class Mood:
    """`brightness` (dark -1 to bright 1) and `energy` (calm -1 to lively 1)."""

    name: str
    brightness: float
    energy: float

    def mode_weights(self, weights: Mapping[str, float]) -> dict[str, float]:
        """A style's weights of modes, leaning to major for a bright mood, to minor for a dark."""
        lean = float(np.exp(1.3 * self.brightness))
        return {
            mode: weight
            * (lean if mode in _BRIGHT_MODES else 1.0 / lean if mode in _DARK_MODES else 1.0)
            for mode, weight in weights.items()
        }

    def tempo(self, rng: np.random.Generator, low_bpm: float, high_bpm: float) -> float:
        """A tempo of the range: a lively mood keeps off its low end, a calm one off its high."""
        share = float(rng.random()) * (1.0 - 0.5 * abs(self.energy))
        if self.energy > 0.0:
            share += 0.5 * self.energy
        return low_bpm + share * (high_bpm - low_bpm)


MOODS: dict[str, Mood] = {
    mood.name: mood
    for mood in (
        Mood("aggressive", -0.7, 1.0),
        Mood("bright", 0.9, 0.3),
        Mood("calm", 0.4, -0.9),
        Mood("cold", -0.6, 0.0),
        Mood("dark", -1.0, 0.1),
        Mood("dreamy", 0.4, -0.6),
        Mood("driving", -0.2, 0.8),
        Mood("energetic", 0.3, 1.0),
        Mood("ethereal", 0.5, -0.7),
        Mood("funky", 0.1, 0.6),
        Mood("gritty", -0.3, 0.6),
        Mood("groovy", 0.1, 0.4),
        Mood("happy", 1.0, 0.4),
        Mood("hypnotic", -0.3, 0.1),
        Mood("melancholic", -0.8, -0.6),
        Mood("mellow", 0.0, -0.7),
        Mood("mysterious", -0.7, -0.4),
        Mood("nostalgic", 0.0, -0.4),
        Mood("peaceful", 0.8, -0.9),
        Mood("playful", 0.7, 0.4),
        Mood("relaxed", 0.3, -0.8),
        Mood("romantic", 0.4, -0.4),
        Mood("tense", -0.7, 0.5),
        Mood("triumphant", 0.9, 0.7),
        Mood("uplifting", 1.0, 0.5),
        Mood("warm", 0.3, -0.3),
    )
}
