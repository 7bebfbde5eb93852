"""Quiet textures under the music: tape hiss, vinyl crackle and wind."""

from __future__ import annotations

import numpy as np

from musicgen_rt.train.music.audio_array import Samples, noise, time_axis
from musicgen_rt.train.music.biquad import apply_filters, bandpass, highpass
from musicgen_rt.train.music.random_stream import log_uniform, pick

_SHARES = {"lo-fi hip hop": 0.6, "ambient": 0.35, "breakbeat": 0.15}
_OTHER_SHARE = 0.05


def draw_texture(
    rng: np.random.Generator, style: str, samples: int, rate_hz: int
) -> Samples | None:
    """A texture [N] of unit RMS, or None: common in lo-fi and ambient, rare elsewhere."""
    if rng.random() > _SHARES.get(style, _OTHER_SHARE):
        return None
    recipe = pick(rng, (_hiss, _wind) if style == "ambient" else (_hiss, _crackle))
    sound = recipe(rng, samples, rate_hz)
    return sound / np.float32(np.sqrt(np.mean(sound**2)) + 1e-9)


def _hiss(rng: np.random.Generator, samples: int, rate_hz: int) -> Samples:
    return apply_filters(noise(rng, samples), highpass(log_uniform(rng, 800, 4000), rate_hz))


def _crackle(rng: np.random.Generator, samples: int, rate_hz: int) -> Samples:
    """Ticks at random moments, a few to a few tens a second, most of them faint."""
    ticks = np.zeros(samples, dtype=np.float32)
    count = int(samples / rate_hz * log_uniform(rng, 4, 40))
    places = rng.integers(0, samples, count)
    ticks[places] = rng.choice((-1.0, 1.0), count) * rng.exponential(0.3, count)
    return apply_filters(ticks, bandpass(log_uniform(rng, 1500, 4000), rate_hz, 0.6))


def _wind(rng: np.random.Generator, samples: int, rate_hz: int) -> Samples:
    swell = np.sin(time_axis(samples, rate_hz) * np.float32(2.0 * np.pi * rng.uniform(0.05, 0.2)))
    band = bandpass(log_uniform(rng, 300, 1200), rate_hz, 0.8)
    wind: Samples = apply_filters(noise(rng, samples), band)
    wind *= np.float32(0.7) + np.float32(0.3) * swell
    return wind
