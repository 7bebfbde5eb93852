"""Effects on whole buses: reverb, echo, ducking, saturation, tremolo, sweep, limiter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.fft
import scipy.ndimage

from musicgen_rt.train.music.audio_array import Samples, add_at, noise, time_axis
from musicgen_rt.train.music.biquad import apply_filters, highpass, lowpass

_LIMITER_BLOCK = 64


def reverberate(
    rng: np.random.Generator, dry: Samples, seconds: float, damping_hz: float, rate_hz: int
) -> Samples:
    """The wet signal [N] of a room: `dry` convolved with decaying, darkening noise."""
    samples = max(64, int(seconds * rate_hz))
    decay = np.exp(time_axis(samples, rate_hz) * np.float32(-6.9 / seconds))
    grain = noise(rng, samples) * decay
    dark = apply_filters(grain, lowpass(damping_hz, rate_hz), highpass(120.0, rate_hz))
    blend = np.minimum(time_axis(samples, rate_hz) / np.float32(0.25 * seconds), 1.0)
    response = dark * blend + grain * np.float32(0.35) * (1.0 - blend)
    predelay = int(float(rng.uniform(0.003, 0.03)) * rate_hz)
    response /= np.float32(np.sqrt(np.sum(response**2)) + 1e-9)
    length = scipy.fft.next_fast_len(len(dry) + samples, real=True)
    spectrum = scipy.fft.rfft(dry, length) * scipy.fft.rfft(response, length)
    wet: Samples = scipy.fft.irfft(spectrum, length)[: len(dry)]
    wet[predelay:] = wet[: len(wet) - predelay].copy()
    wet[:predelay] = 0.0
    return wet


def echo(dry: Samples, delay_seconds: float, feedback: float, rate_hz: int) -> Samples:
    """The wet signal [N]: repeats every `delay_seconds`, each `feedback` times the last."""
    step = max(1, int(delay_seconds * rate_hz))
    wet = np.zeros_like(dry)
    gain, start = 1.0, step
    while start < len(dry) and gain > 0.02:
        add_at(wet, dry[: len(dry) - start], start, gain)
        gain *= feedback
        start += step
    return wet


def duck(
    bus: Samples, hits_seconds: Sequence[float], depth: float, seconds: float, rate_hz: int
) -> Samples:
    """`bus` [N] pushed down at each hit by `depth` 0-1, back after `seconds`."""
    gain = np.ones(len(bus), dtype=np.float32)
    length = int(seconds * rate_hz)
    attack = max(1, int(0.004 * rate_hz))
    curve = 1.0 - np.float32(depth) * (1.0 - np.linspace(0.0, 1.0, length, dtype=np.float32)) ** 2
    curve[:attack] = np.linspace(1.0, curve[attack], attack, dtype=np.float32)
    for hit in hits_seconds:
        start = int(hit * rate_hz)
        first, last = max(start, 0), min(start + length, len(bus))
        if first < last:
            part = gain[first:last]
            np.minimum(part, curve[first - start : last - start], out=part)
    return bus * gain


def saturate(bus: Samples, drive: float) -> Samples:
    """`bus` [N] through a soft curve; its level is kept, its peaks are rounded."""
    level = float(np.sqrt(np.mean(bus**2)))
    if drive <= 0.0 or level < 1e-6:
        return bus
    scale = np.float32(drive / (3.0 * level))
    shaped: Samples = np.tanh(bus * scale)
    shaped *= np.float32(level / max(float(np.sqrt(np.mean(shaped**2))), 1e-9))
    return shaped


def tremolo(bus: Samples, speed_hz: float, depth: float, rate_hz: int) -> Samples:
    """`bus` [N] with its level moving `speed_hz` times a second, `depth` 0-1."""
    turn = np.sin(time_axis(len(bus), rate_hz) * np.float32(2.0 * np.pi * speed_hz))
    gain: Samples = np.float32(1.0 - 0.5 * depth) + np.float32(0.5 * depth) * turn
    return bus * gain


def gate(
    bus: Samples, open_seconds: Sequence[tuple[float, float]], floor: float, rate_hz: int
) -> Samples:
    """`bus` [N] heard in the spans `open_seconds` (start, end), at `floor` 0-1 elsewhere."""
    gain = np.full(len(bus), floor, dtype=np.float32)
    for start, end in open_seconds:
        gain[max(0, int(start * rate_hz)) : max(0, int(end * rate_hz))] = 1.0
    # Averaged over 5 ms, so that the gate does not click.
    smooth: Samples = scipy.ndimage.uniform_filter1d(gain, max(3, int(0.005 * rate_hz)))
    return bus * smooth


def sweep(closed: Samples, opened: Samples, curve: Samples) -> Samples:
    """From the closed to the open version of a bus [N] as `curve` [N] goes from 0 to 1."""
    return closed + curve * (opened - closed)


def limit(mix: Samples, ceiling: float) -> Samples:
    """`mix` [N] with its gain lowered around each peak, so that nothing passes `ceiling`."""
    blocks = -(-len(mix) // _LIMITER_BLOCK)
    padded = np.zeros(blocks * _LIMITER_BLOCK, dtype=np.float32)
    padded[: len(mix)] = np.abs(mix)
    peaks = padded.reshape(blocks, _LIMITER_BLOCK).max(axis=1)
    if float(peaks.max()) <= ceiling:
        return mix
    # The minimum over 41 blocks, smoothed over 21, is never above the gain that a block needs.
    needed = np.minimum(1.0, ceiling / np.maximum(peaks, 1e-9))
    lowest = scipy.ndimage.minimum_filter1d(needed, 41)
    smooth = scipy.ndimage.uniform_filter1d(lowest, 19)
    centres = (np.arange(blocks) + 0.5) * _LIMITER_BLOCK
    gain: Samples = np.interp(np.arange(len(mix)), centres, smooth).astype(np.float32)
    return mix * gain
