"""Second-order filters from their formulas (R. Bristow-Johnson's cookbook), as SciPy sections."""

from __future__ import annotations

import math

import numpy as np
import scipy.signal

from musicgen_rt.train.music.audio_array import Samples

Section = tuple[float, float, float, float, float, float]


def lowpass(cutoff_hz: float, rate_hz: int, q: float = 0.707) -> Section:
    """A resonant low-pass section."""
    cosine, alpha = _angle(cutoff_hz, rate_hz, q)
    edge = (1.0 - cosine) / 2.0
    return _normalised(edge, 1.0 - cosine, edge, 1.0 + alpha, -2.0 * cosine, 1.0 - alpha)


def highpass(cutoff_hz: float, rate_hz: int, q: float = 0.707) -> Section:
    """A resonant high-pass section."""
    cosine, alpha = _angle(cutoff_hz, rate_hz, q)
    edge = (1.0 + cosine) / 2.0
    return _normalised(edge, -(1.0 + cosine), edge, 1.0 + alpha, -2.0 * cosine, 1.0 - alpha)


def bandpass(centre_hz: float, rate_hz: int, q: float) -> Section:
    """A band-pass section with 0 dB at its centre."""
    cosine, alpha = _angle(centre_hz, rate_hz, q)
    return _normalised(alpha, 0.0, -alpha, 1.0 + alpha, -2.0 * cosine, 1.0 - alpha)


def peaking(centre_hz: float, rate_hz: int, q: float, gain_db: float) -> Section:
    """A bell of `gain_db` at its centre."""
    cosine, alpha = _angle(centre_hz, rate_hz, q)
    amplitude = 10.0 ** (gain_db / 40.0)
    return _normalised(
        1.0 + alpha * amplitude,
        -2.0 * cosine,
        1.0 - alpha * amplitude,
        1.0 + alpha / amplitude,
        -2.0 * cosine,
        1.0 - alpha / amplitude,
    )


def high_shelf(corner_hz: float, rate_hz: int, gain_db: float) -> Section:
    """A shelf of `gain_db` above its corner."""
    cosine, alpha = _angle(corner_hz, rate_hz, 0.707)
    amplitude = 10.0 ** (gain_db / 40.0)
    slope = 2.0 * math.sqrt(amplitude) * alpha
    up, down = amplitude + 1.0, amplitude - 1.0
    return _normalised(
        amplitude * (up + down * cosine + slope),
        -2.0 * amplitude * (down + up * cosine),
        amplitude * (up + down * cosine - slope),
        up - down * cosine + slope,
        2.0 * (down - up * cosine),
        up - down * cosine - slope,
    )


def apply_filters(sound: Samples, *sections: Section) -> Samples:
    """`sound` [N] through the sections in turn, in float32."""
    filtered: Samples = scipy.signal.sosfilt(np.asarray(sections, dtype=np.float32), sound)
    return filtered


def _angle(frequency_hz: float, rate_hz: int, q: float) -> tuple[float, float]:
    """(cos w, alpha) of the cookbook; the frequency is kept inside (0, Nyquist)."""
    angle = 2.0 * math.pi * min(max(frequency_hz, 1.0), 0.49 * rate_hz) / rate_hz
    return math.cos(angle), math.sin(angle) / (2.0 * q)


def _normalised(b0: float, b1: float, b2: float, a0: float, a1: float, a2: float) -> Section:
    return (b0 / a0, b1 / a0, b2 / a0, 1.0, a1 / a0, a2 / a0)
