"""Families of keyboards, plucked, struck and blown sounds; each clip draws its own member."""

from __future__ import annotations

import numpy as np

from musicgen_rt.train.music.random_stream import between, log_uniform, pick
from musicgen_rt.train.music.tone_patch import PatchRecipe, TonePatch


def _unison(rng: np.random.Generator, width_cents: float) -> tuple[float, ...]:
    return pick(rng, ((0.0,), (-width_cents, width_cents), (-width_cents, 0.0, width_cents)))


def _electric_piano(rng: np.random.Generator) -> TonePatch:
    tine = between(rng, 0.1, 0.35)
    return TonePatch(
        ratios=(1.0, 2.0, 3.0, 4.0, 7.0, float(pick(rng, (13.0, 14.0, 10.0)))),
        ratio_levels=(
            1.0,
            between(rng, 0.15, 0.6),
            between(rng, 0.05, 0.3),
            between(rng, 0.02, 0.15),
            between(rng, 0.02, 0.1),
            tine,
        ),
        ratio_decays=(1.0, 0.8, 0.6, 0.5, 0.25, 0.08),
        decay=between(rng, 2.0, 4.5),
        unison_cents=pick(rng, ((0.0,), (-4.0, 4.0))),
        release=0.12,
    )


def _piano(rng: np.random.Generator) -> TonePatch:
    return TonePatch(
        tilt=between(rng, 1.0, 1.5),
        comb=between(rng, 0.11, 0.14),
        harmonics=32,
        stretch=log_uniform(rng, 1e-4, 5e-4),
        decay=between(rng, 2.5, 5.0),
        decay_tilt=between(rng, 0.5, 0.9),
        cutoff_hz=log_uniform(rng, 1500, 6000),
        unison_cents=pick(rng, ((0.0,), (-1.5, 1.5))),
        thump=between(rng, 0.02, 0.1),
        attack=0.002,
        release=0.1,
    )


def draw_organ(rng: np.random.Generator) -> TonePatch:
    """A drawbar organ."""
    bars = tuple(
        float(level) for level in rng.uniform(0.0, 1.0, 8) * (1, 1, 1, 0.8, 0.6, 0.5, 0.4, 0.4)
    )
    return TonePatch(
        ratios=(1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 0.5),
        ratio_levels=(max(bars[0], 0.5), *bars[1:7], 0.3 * bars[7]),
        attack=0.006,
        release=0.03,
    )


def _stab(rng: np.random.Generator) -> TonePatch:
    width = between(rng, 4, 16)
    return TonePatch(
        tilt=1.0,
        even=between(rng, 0.3, 1.0),
        harmonics=40,
        cutoff_hz=log_uniform(rng, 400, 2500),
        cutoff_harmonics=1.0,
        sweep_octaves=between(rng, 0.5, 2.5),
        sweep_seconds=log_uniform(rng, 0.05, 0.4),
        resonance=log_uniform(rng, 0.7, 2.5),
        unison_cents=_unison(rng, width),
        decay=between(rng, 0.8, 3.0),
        decay_tilt=0.1,
        release=0.08,
    )


def _pluck(rng: np.random.Generator) -> TonePatch:
    return TonePatch(
        tilt=1.0,
        even=between(rng, 0.0, 1.0),
        harmonics=40,
        cutoff_hz=log_uniform(rng, 300, 1200),
        cutoff_harmonics=1.0,
        sweep_octaves=between(rng, 1.5, 3.5),
        sweep_seconds=log_uniform(rng, 0.03, 0.15),
        resonance=log_uniform(rng, 0.7, 3.0),
        unison_cents=_unison(rng, between(rng, 3, 10)),
        decay=between(rng, 0.5, 1.5),
        decay_tilt=0.1,
        release=0.1,
    )


def _guitar(rng: np.random.Generator) -> TonePatch:
    return TonePatch(
        tilt=between(rng, 0.8, 1.2),
        comb=between(rng, 0.1, 0.35),
        harmonics=40,
        stretch=5e-5,
        decay=between(rng, 1.2, 3.5),
        decay_tilt=between(rng, 0.5, 1.0),
        cutoff_hz=log_uniform(rng, 1500, 5000),
        thump=between(rng, 0.02, 0.1),
        attack=0.002,
        release=0.06,
    )


def _distorted_guitar(rng: np.random.Generator) -> TonePatch:
    return TonePatch(
        tilt=between(rng, 0.9, 1.2),
        comb=between(rng, 0.1, 0.25),
        harmonics=24,
        decay=between(rng, 3.0, 6.0),
        decay_tilt=0.3,
        cutoff_hz=log_uniform(rng, 1200, 2500),
        thump=0.1,
        drive=between(rng, 3.0, 10.0),
        attack=0.003,
        release=0.04,
    )


def _clav(rng: np.random.Generator) -> TonePatch:
    return TonePatch(
        tilt=between(rng, 0.5, 0.8),
        comb=between(rng, 0.05, 0.12),
        harmonics=48,
        decay=between(rng, 0.6, 1.4),
        decay_tilt=between(rng, 0.3, 0.6),
        cutoff_hz=log_uniform(rng, 2000, 5000),
        sweep_octaves=between(rng, 0.0, 1.0),
        resonance=log_uniform(rng, 0.8, 2.5),
        attack=0.002,
        release=0.03,
    )


def _bell(rng: np.random.Generator) -> TonePatch:
    # The strike tone and its octave carry the pitch; the others colour it.
    colour = float(rng.uniform(0.1, 0.5))
    return TonePatch(
        ratios=(1.0, 2.0, 2.76, 4.0, 5.4, 8.9),
        ratio_levels=(1.0, 0.5, 0.5 * colour, 0.3, 0.5 * colour, 0.3 * colour),
        ratio_decays=(1.0, 0.7, 0.4, 0.35, 0.25, 0.12),
        decay=between(rng, 1.5, 4.5),
        attack=0.002,
        release=0.3,
    )


def _vibes(rng: np.random.Generator) -> TonePatch:
    return TonePatch(
        ratios=(1.0, 4.0, 9.9),
        ratio_levels=(1.0, between(rng, 0.1, 0.4), between(rng, 0.02, 0.15)),
        ratio_decays=(1.0, 0.35, 0.1),
        decay=between(rng, 1.0, 4.0),
        attack=0.002,
        release=0.15,
    )


def _fm_keys(rng: np.random.Generator) -> TonePatch:
    return TonePatch(
        fm_ratio=float(pick(rng, (1.0, 2.0, 3.0, 7.0))),
        fm_index=between(rng, 0.6, 2.5),
        fm_decay=log_uniform(rng, 0.08, 0.8),
        decay=between(rng, 1.0, 3.5),
        release=0.1,
    )


def _brass(rng: np.random.Generator) -> TonePatch:
    return TonePatch(
        tilt=between(rng, 0.8, 1.1),
        harmonics=32,
        cutoff_hz=log_uniform(rng, 600, 1800),
        cutoff_harmonics=1.5,
        sweep_octaves=between(rng, -1.0, 1.0),
        sweep_seconds=0.08,
        resonance=1.0,
        unison_cents=(-5.0, 5.0),
        attack=between(rng, 0.012, 0.04),
        release=0.06,
    )


KEY_PATCHES: dict[str, PatchRecipe] = {
    "electric_piano": _electric_piano,
    "piano": _piano,
    "organ": draw_organ,
    "stab": _stab,
    "pluck": _pluck,
    "guitar": _guitar,
    "distorted_guitar": _distorted_guitar,
    "clav": _clav,
    "bell": _bell,
    "vibes": _vibes,
    "fm_keys": _fm_keys,
    "brass": _brass,
}
