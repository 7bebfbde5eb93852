"""Recipes of drum sounds: sines that fall, filtered noise and thin plates. All give [N]."""

from __future__ import annotations

import numpy as np

from musicgen_rt.train.music.audio_array import Samples, time_axis
from musicgen_rt.train.music.biquad import apply_filters, bandpass, highpass
from musicgen_rt.train.music.drum_booth import Booth, Recipe

_PLATE_RATIOS = (6.0, 8.13, 9.7, 11.9, 14.2, 17.3, 19.1)
_COWBELL_RATIOS = (1.0, 1.48, 2.97, 4.44)


def _kick(booth: Booth) -> Samples:
    pitch_hz = booth.between(*booth.kit.kick_hz)
    seconds = booth.between(*booth.kit.kick_seconds)
    samples = booth.samples(1.3 * seconds)
    start_hz = pitch_hz * booth.between(*booth.kit.kick_sweep)
    body = booth.fall(start_hz, pitch_hz, booth.between(0.008, 0.035), samples)
    click = booth.noise(samples) * booth.decay(booth.between(0.008, 0.03), samples)
    return body * booth.decay(1.4 * seconds, samples) + np.float32(booth.between(0.05, 0.3)) * click


def _snare(booth: Booth) -> Samples:
    pitch_hz = booth.between(*booth.kit.snare_hz)
    seconds = booth.between(*booth.kit.snare_seconds)
    samples = booth.samples(1.4 * seconds)
    tone = booth.fall(1.6 * pitch_hz, pitch_hz, 0.01, samples)
    tone += np.float32(0.5) * booth.fall(2.4 * pitch_hz, 1.7 * pitch_hz, 0.01, samples)
    tone *= booth.decay(seconds * booth.between(0.5, 0.9), samples)
    rattle = apply_filters(
        booth.noise(samples),
        highpass(booth.log_between(700, 2500), booth.rate_hz),
        bandpass(booth.log_between(2500, 6000), booth.rate_hz, 0.5),
    )
    share = np.float32(booth.between(*booth.kit.snare_noise))
    # The band-pass takes about 7 dB from the noise: it is given back.
    return (1 - share) * tone + np.float32(2.2) * share * rattle * booth.decay(
        1.3 * seconds, samples
    )


def _clap(booth: Booth) -> Samples:
    seconds = booth.between(0.14, 0.32)
    samples = booth.samples(1.2 * seconds)
    envelope = np.float32(0.6) * booth.decay(seconds, samples)
    for index in range(int(booth.rng.integers(2, 5))):
        start = booth.samples(index * booth.between(0.008, 0.013))
        envelope[start:] += booth.decay(0.02, samples - start)
    band = bandpass(booth.log_between(1000, 2200), booth.rate_hz, booth.between(0.6, 1.5))
    return apply_filters(booth.noise(samples) * envelope, band, highpass(400, booth.rate_hz))


def _rim(booth: Booth) -> Samples:
    samples = booth.samples(0.09)
    pitch_hz = booth.log_between(700, 1900)
    tone = booth.tone(pitch_hz, samples) + booth.tone(2.3 * pitch_hz, samples)
    click = booth.noise(samples) * booth.decay(0.012, samples)
    return tone * booth.decay(booth.between(0.03, 0.07), samples) + np.float32(0.8) * click


def _plate(booth: Booth, samples: int) -> Samples:
    """Noise and, as much as the kit has it, inharmonic partials, high-passed."""
    base_hz = booth.log_between(350, 650)
    ringing = np.zeros(samples, dtype=np.float32)
    for ratio in _PLATE_RATIOS:
        ringing += booth.tone(base_hz * ratio * booth.between(0.97, 1.03), samples)
    mixed = np.float32(0.35 * booth.kit.hat_metal) * ringing + booth.noise(samples)
    corner_hz = booth.log_between(*booth.kit.hat_hz)
    return apply_filters(
        mixed, highpass(corner_hz, booth.rate_hz, 0.9), highpass(corner_hz, booth.rate_hz)
    )


def _hat(booth: Booth) -> Samples:
    seconds = booth.log_between(0.03, 0.12)
    samples = booth.samples(1.2 * seconds)
    return _plate(booth, samples) * booth.decay(seconds, samples)


def _open_hat(booth: Booth) -> Samples:
    seconds = booth.log_between(0.2, 0.5)
    samples = booth.samples(seconds)
    return _plate(booth, samples) * booth.decay(seconds, samples)


def _ride(booth: Booth) -> Samples:
    seconds = booth.between(0.4, 0.9)
    samples = booth.samples(seconds)
    ping = booth.tone(booth.log_between(2500, 4500), samples) * booth.decay(0.3, samples)
    wash = np.float32(0.5) * _plate(booth, samples) + np.float32(0.6) * ping
    return wash * booth.decay(seconds, samples)


def _crash(booth: Booth) -> Samples:
    seconds = booth.between(0.9, 1.8)
    samples = booth.samples(seconds)
    corner = highpass(booth.log_between(2000, 4000), booth.rate_hz)
    return apply_filters(booth.noise(samples), corner) * booth.decay(seconds, samples)


def _tom(booth: Booth, pitch_hz: float) -> Samples:
    pitch_hz *= booth.between(0.9, 1.1)
    seconds = booth.between(0.25, 0.5)
    samples = booth.samples(seconds)
    skin = booth.noise(samples) * booth.decay(0.04, samples)
    tone = booth.fall(1.7 * pitch_hz, pitch_hz, 0.03, samples) + np.float32(0.2) * skin
    return tone * booth.decay(seconds, samples)


def _tom_high(booth: Booth) -> Samples:
    return _tom(booth, 180.0)


def _tom_mid(booth: Booth) -> Samples:
    return _tom(booth, 133.0)


def _tom_low(booth: Booth) -> Samples:
    return _tom(booth, 95.0)


def _shaker(booth: Booth) -> Samples:
    seconds = booth.between(0.05, 0.12)
    samples = booth.samples(seconds)
    rise = np.minimum(time_axis(samples, booth.rate_hz) / np.float32(0.25 * seconds), 1.0)
    band = bandpass(booth.log_between(4e3, 9e3), booth.rate_hz, 1.0)
    grains = apply_filters(booth.noise(samples), band) * booth.decay(seconds, samples)
    grains *= rise
    return grains


def _tambourine(booth: Booth) -> Samples:
    seconds = booth.between(0.1, 0.25)
    samples = booth.samples(seconds)
    band = bandpass(booth.log_between(7e3, 11e3), booth.rate_hz, 2.5)
    return apply_filters(booth.noise(samples), band) * booth.decay(seconds, samples)


def _conga(booth: Booth) -> Samples:
    seconds = booth.between(0.15, 0.3)
    samples = booth.samples(seconds)
    pitch_hz = booth.log_between(180, 380)
    slap = booth.noise(samples) * booth.decay(0.015, samples)
    tone = booth.fall(1.15 * pitch_hz, pitch_hz, 0.015, samples) + np.float32(0.3) * slap
    return tone * booth.decay(seconds, samples)


def _cowbell(booth: Booth) -> Samples:
    samples = booth.samples(0.25)
    pitch_hz = booth.between(500, 620)
    tone = np.zeros(samples, dtype=np.float32)
    for ratio in _COWBELL_RATIOS:
        tone += booth.tone(pitch_hz * ratio, samples) / np.float32(ratio)
    band = bandpass(2.5 * pitch_hz, booth.rate_hz, 0.7)
    return apply_filters(tone, band) * booth.decay(booth.between(0.12, 0.25), samples)


def _woodblock(booth: Booth) -> Samples:
    samples = booth.samples(0.12)
    pitch_hz = booth.log_between(600, 1400)
    tone = booth.fall(1.05 * pitch_hz, pitch_hz, 0.01, samples)
    tone += np.float32(0.4) * booth.tone(2.7 * pitch_hz, samples)
    return tone * booth.decay(booth.between(0.04, 0.1), samples)


DRUM_RECIPES: dict[str, Recipe] = {
    "kick": _kick,
    "snare": _snare,
    "clap": _clap,
    "rim": _rim,
    "hat": _hat,
    "open_hat": _open_hat,
    "ride": _ride,
    "crash": _crash,
    "tom_high": _tom_high,
    "tom_mid": _tom_mid,
    "tom_low": _tom_low,
    "shaker": _shaker,
    "tambourine": _tambourine,
    "conga": _conga,
    "cowbell": _cowbell,
    "woodblock": _woodblock,
}
