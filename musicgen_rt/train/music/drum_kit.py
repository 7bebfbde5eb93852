"""The drums of a clip: each sound rendered once, at its first stroke, and kept."""

from __future__ import annotations

import numpy as np

from musicgen_rt.train.music.audio_array import Samples, fade_edges, peak_normalised
from musicgen_rt.train.music.biquad import apply_filters, highpass, lowpass
from musicgen_rt.train.music.drum_booth import Booth
from musicgen_rt.train.music.drum_recipes import DRUM_RECIPES
from musicgen_rt.train.music.kit_character import KITS
from musicgen_rt.train.music.random_stream import between, log_uniform, random_stream

# Peaks relative to the kick's.
_LEVELS = {
    "kick": 1.0,
    "snare": 0.8,
    "clap": 0.7,
    "rim": 0.55,
    "hat": 0.33,
    "open_hat": 0.36,
    "ride": 0.3,
    "crash": 0.5,
    "tom_high": 0.7,
    "tom_mid": 0.75,
    "tom_low": 0.8,
    "shaker": 0.25,
    "tambourine": 0.3,
    "conga": 0.55,
    "cowbell": 0.35,
    "woodblock": 0.4,
}
_SOFT_VELOCITY = 0.5
_ATTACK_SECONDS = 0.0005
_RELEASE_SECONDS = 0.02


class DrumKit:
    """A kit of the kind `kit` (a name in `KITS`), its sounds drawn from `seed`."""

    def __init__(self, seed: int, kit: str, rate_hz: int) -> None:
        """Draws the kit's colour; sounds are rendered when they are first struck."""
        rng = random_stream(seed, "kit colour")
        self._seed = seed
        self._rate_hz = rate_hz
        self._character = KITS[kit]
        self._drive = between(rng, *self._character.drive)
        self._top_hz = log_uniform(rng, *self._character.top_hz)
        self._sounds: dict[tuple[str, bool], Samples] = {}

    def stroke(self, drum: str, velocity: float) -> Samples:
        """The sound [N] of a stroke of unit velocity; a soft stroke has a duller one."""
        key = (drum, velocity < _SOFT_VELOCITY)
        if key not in self._sounds:
            self._sounds[key] = self._render(*key)
        return self._sounds[key]

    def _render(self, drum: str, is_soft: bool) -> Samples:
        # One stream for both strokes of a drum: they are the same drum.
        rng = random_stream(self._seed, f"drum {drum}")
        sound = DRUM_RECIPES[drum](Booth(rng, self._character, self._rate_hz))
        if self._drive > 1.05:
            sound = np.tanh(sound * np.float32(self._drive))
        top_hz = self._top_hz * (0.5 if is_soft else 1.0)
        sound = apply_filters(sound, lowpass(top_hz, self._rate_hz), highpass(28.0, self._rate_hz))
        level = np.float32(_LEVELS[drum] * between(rng, 0.75, 1.25))
        attack = int(_ATTACK_SECONDS * self._rate_hz)
        release = int(_RELEASE_SECONDS * self._rate_hz)
        return fade_edges(peak_normalised(sound), attack, release) * level
