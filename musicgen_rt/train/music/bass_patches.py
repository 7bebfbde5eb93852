"""Families of bass sounds; each clip draws its own member."""

from __future__ import annotations

import numpy as np

from musicgen_rt.train.music.key_patches import draw_organ
from musicgen_rt.train.music.random_stream import between, log_uniform, pick
from musicgen_rt.train.music.tone_patch import PatchRecipe, TonePatch


def _bass_saw(rng: np.random.Generator) -> TonePatch:
    return TonePatch(
        tilt=1.0,
        harmonics=64,
        cutoff_hz=log_uniform(rng, 120, 700),
        cutoff_harmonics=1.0,
        sweep_octaves=between(rng, 0.5, 3.0),
        sweep_seconds=log_uniform(rng, 0.05, 0.4),
        resonance=log_uniform(rng, 0.7, 4.0),
        poles=int(pick(rng, (2, 4))),
        unison_cents=pick(rng, ((0.0,), (-6.0, 6.0))),
        release=0.04,
    )


def _bass_square(rng: np.random.Generator) -> TonePatch:
    return TonePatch(
        tilt=1.0,
        even=between(rng, 0.0, 0.4),
        harmonics=56,
        cutoff_hz=log_uniform(rng, 150, 900),
        cutoff_harmonics=1.0,
        sweep_octaves=between(rng, 0.0, 2.5),
        sweep_seconds=log_uniform(rng, 0.05, 0.3),
        resonance=log_uniform(rng, 0.7, 2.5),
        release=0.04,
    )


def _bass_sine(rng: np.random.Generator) -> TonePatch:
    return TonePatch(
        ratios=(1.0, 2.0, 3.0),
        ratio_levels=(1.0, between(rng, 0.05, 0.4), between(rng, 0.02, 0.2)),
        attack=0.008,
        release=0.08,
    )


def _bass_fm(rng: np.random.Generator) -> TonePatch:
    return TonePatch(
        fm_ratio=float(pick(rng, (1.0, 2.0, 3.0, 0.5))),
        fm_index=between(rng, 1.0, 4.0),
        fm_decay=log_uniform(rng, 0.08, 0.6),
        pitch_drop=float(pick(rng, (0.0, 0.0, 0.5))),
        decay=between(rng, 1.0, 4.0),
        release=0.05,
    )


def _bass_reese(rng: np.random.Generator) -> TonePatch:
    width = between(rng, 8, 28)
    return TonePatch(
        tilt=1.0,
        harmonics=48,
        cutoff_hz=log_uniform(rng, 250, 1200),
        sweep_octaves=between(rng, -0.5, 0.8),
        sweep_seconds=0.5,
        resonance=log_uniform(rng, 0.7, 2.0),
        unison_cents=(-width, 0.0, width),
        attack=0.01,
        release=0.06,
    )


def _bass_string(rng: np.random.Generator) -> TonePatch:
    return TonePatch(
        tilt=between(rng, 1.1, 1.6),
        comb=between(rng, 0.12, 0.3),
        harmonics=40,
        stretch=1e-4,
        decay=between(rng, 1.5, 4.0),
        decay_tilt=between(rng, 0.5, 0.9),
        cutoff_hz=log_uniform(rng, 500, 1400),
        thump=0.05,
        release=0.07,
    )


def _bass_pick(rng: np.random.Generator) -> TonePatch:
    return TonePatch(
        tilt=between(rng, 0.8, 1.1),
        comb=between(rng, 0.06, 0.15),
        harmonics=48,
        stretch=1e-4,
        decay=between(rng, 1.5, 3.5),
        decay_tilt=between(rng, 0.4, 0.7),
        cutoff_hz=log_uniform(rng, 900, 2500),
        thump=0.12,
        drive=between(rng, 0.2, 1.2),
        release=0.05,
    )


def _bass_slap(rng: np.random.Generator) -> TonePatch:
    return TonePatch(
        tilt=between(rng, 0.6, 0.9),
        comb=between(rng, 0.04, 0.1),
        harmonics=56,
        decay=between(rng, 1.0, 2.5),
        decay_tilt=between(rng, 0.6, 0.9),
        cutoff_hz=log_uniform(rng, 1200, 3000),
        sweep_octaves=1.5,
        sweep_seconds=0.06,
        thump=0.2,
        release=0.04,
    )


BASS_PATCHES: dict[str, PatchRecipe] = {
    "saw": _bass_saw,
    "square": _bass_square,
    "sine": _bass_sine,
    "fm": _bass_fm,
    "reese": _bass_reese,
    "finger": _bass_string,
    "pick": _bass_pick,
    "slap": _bass_slap,
    "organ": draw_organ,
}
