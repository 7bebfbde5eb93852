"""Mastering: tone, saturation, loudness and a ceiling; no DC, silent ends."""

from __future__ import annotations

import numpy as np

from musicgen_rt.train.music.audio_array import Samples, fade_edges
from musicgen_rt.train.music.biquad import (
    Section,
    apply_filters,
    high_shelf,
    highpass,
    lowpass,
    peaking,
)
from musicgen_rt.train.music.effects import limit, saturate
from musicgen_rt.train.music.plan import SongPlan
from musicgen_rt.train.music.random_stream import log_uniform, random_stream

_LOUDNESS_DB = (-24.0, -10.0)
_MOST_LIMITING_DB = 7.0
_CEILING = 0.97
_BLOCK_SAMPLES = 4096


def master(plan: SongPlan, mix: Samples, rate_hz: int) -> Samples:
    """The finished clip [N]: at a loudness drawn for it, every sample inside the ceiling."""
    rng = random_stream(plan.seed, "master")
    sections = _tone(rng, plan, rate_hz)
    if rng.random() < 0.6:
        mix = saturate(mix, float(rng.uniform(*plan.style.drive)))
    mix = apply_filters(mix, *sections)
    peak_db = 20.0 * np.log10(max(float(np.max(np.abs(mix))), 1e-9))
    wanted_db = float(rng.uniform(*_LOUDNESS_DB)) - loudness_db(mix)
    gain_db = min(wanted_db, _MOST_LIMITING_DB - peak_db)
    mix = limit(mix * np.float32(10.0 ** (gain_db / 20.0)), _CEILING)
    edge = max(2, int(0.002 * rate_hz))
    return fade_edges(mix - np.float32(np.mean(mix, dtype=np.float64)), edge, edge)


def _tone(rng: np.random.Generator, plan: SongPlan, rate_hz: int) -> list[Section]:
    """The clip's equaliser; dark moods lose treble, bright ones gain it."""
    sections = [highpass(float(rng.uniform(20.0, 32.0)), rate_hz)]
    shelf_db = float(rng.uniform(-5.0, 5.0)) + 3.0 * plan.mood.brightness
    if rng.random() < 0.8:
        sections.append(high_shelf(log_uniform(rng, 2000, 6000), rate_hz, shelf_db))
    if rng.random() < 0.4:
        centre_hz = log_uniform(rng, 200, 3000)
        sections.append(peaking(centre_hz, rate_hz, 0.8, float(rng.uniform(-5.0, 5.0))))
    if plan.style.name == "lo-fi hip hop" and rng.random() < 0.6:
        sections.append(lowpass(log_uniform(rng, 3000, 9000), rate_hz))
    return sections


def loudness_db(mix: Samples) -> float:
    """About the loudness of `mix` [N] in LUFS: a gated mean square after a treble lift."""
    lifted = mix[1:] - np.float32(0.55) * mix[:-1]
    blocks = len(lifted) // _BLOCK_SAMPLES
    if not blocks:
        return -70.0
    power = np.mean(lifted[: blocks * _BLOCK_SAMPLES].reshape(blocks, -1) ** 2, axis=1)
    loud = power[power > max(1e-9, 0.1 * float(np.mean(power)))]
    # 4.6 dB: what the difference takes from the middle of the spectrum, where music is loudest.
    return 10.0 * float(np.log10(np.mean(loud) if len(loud) else 1e-9)) + 4.6
