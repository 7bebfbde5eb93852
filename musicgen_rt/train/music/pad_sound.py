"""Pads by spectral synthesis: a chord is one long loop whose partials are narrow noise bands.

Each partial is spread over neighbouring bins with random phases and the spectrum is transformed
back once, which gives an ensemble of very many detuned voices for the price of an FFT
(P. O. Nasca, "PADsynth").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.fft

from musicgen_rt.train.music.audio_array import Samples, add_at, fade_edges
from musicgen_rt.train.music.events import PlacedNote
from musicgen_rt.train.music.formants import VOWELS_HZ, formant_gain
from musicgen_rt.train.music.random_stream import log_uniform, pick
from musicgen_rt.train.music.tone_player import pitch_to_hz


@dataclass(frozen=True)
class PadPatch:
    """A pad: harmonics h as h^-tilt up to `cutoff_hz`, the first `width_cents` wide."""

    tilt: float
    even: float
    cutoff_hz: float
    width_cents: float
    formants_hz: tuple[float, ...]
    attack_seconds: float
    release_seconds: float


def draw_pad(rng: np.random.Generator, name: str) -> PadPatch:
    """A member of the family `name`: warm, saws, strings, choir, glass or dark."""
    tilts = {"warm": 1.4, "saws": 1.0, "strings": 1.1, "choir": 0.9, "glass": 1.6, "dark": 1.3}
    cutoffs = {
        "warm": (600, 2000),
        "saws": (1500, 7000),
        "strings": (2000, 6000),
        "choir": (3000, 5000),
        "glass": (3000, 9000),
        "dark": (250, 700),
    }
    formants = pick(rng, VOWELS_HZ) if name == "choir" else ()
    return PadPatch(
        tilt=tilts[name] * float(rng.uniform(0.9, 1.1)),
        even=0.15 if name == "glass" else float(rng.uniform(0.5, 1.0)),
        cutoff_hz=log_uniform(rng, *cutoffs[name]),
        width_cents=log_uniform(rng, 2.0, 14.0),
        formants_hz=formants,
        attack_seconds=log_uniform(rng, 0.02, 0.5),
        release_seconds=log_uniform(rng, 0.08, 0.8),
    )


def play_pad(
    rng: np.random.Generator,
    patch: PadPatch,
    notes: Sequence[PlacedNote],
    samples: int,
    rate_hz: int,
) -> tuple[Samples, Samples]:
    """(closed, open): the pad's bus [N] with its filter closed and open, for a sweep between."""
    closed = np.zeros(samples, dtype=np.float32)
    opened = np.zeros(samples, dtype=np.float32)
    loops: dict[tuple[int, ...], tuple[Samples, Samples]] = {}
    attack = int(patch.attack_seconds * rate_hz)
    release = int(patch.release_seconds * rate_hz)
    for (start_seconds, end_seconds), chord in _group(notes).items():
        pitches = tuple(sorted({note.pitch for note in chord}))
        if pitches not in loops:
            loops[pitches] = _render_loops(rng, patch, pitches, rate_hz)
        length = int((end_seconds - start_seconds) * rate_hz) + release
        start = int(start_seconds * rate_hz)
        offset = int(rng.integers(len(loops[pitches][0])))
        for bus, loop in zip((closed, opened), loops[pitches], strict=True):
            shaped = fade_edges(_cut(loop, offset, length), attack, release)
            add_at(bus, shaped, start, chord[0].velocity)
    return closed, opened


def _group(notes: Sequence[PlacedNote]) -> dict[tuple[float, float], list[PlacedNote]]:
    """The notes of each chord, by its start and end."""
    chords: dict[tuple[float, float], list[PlacedNote]] = {}
    for note in notes:
        chords.setdefault((note.start_seconds, note.end_seconds), []).append(note)
    return chords


def _cut(loop: Samples, offset: int, length: int) -> Samples:
    """`length` samples of the endless loop, from `offset`."""
    turns = -(-(offset + length) // len(loop))
    return np.concatenate([loop] * turns)[offset : offset + length]


def _render_loops(
    rng: np.random.Generator, patch: PadPatch, pitches: tuple[int, ...], rate_hz: int
) -> tuple[Samples, Samples]:
    """The chord's loop [2^16 at 32 kHz, about two seconds] at half and at full cutoff."""
    length = 1 << int(np.ceil(np.log2(1.6 * rate_hz)))
    bins = length // 2 + 1
    power = np.zeros(bins, dtype=np.float32)
    for pitch in pitches:
        _add_note(power, patch, pitch_to_hz(pitch), rate_hz / length)
    frequency = np.arange(bins, dtype=np.float64) * (rate_hz / length)
    if patch.formants_hz:
        power *= formant_gain(frequency, patch.formants_hz)
    turns = rng.random(bins, dtype=np.float32) * np.float32(2.0 * np.pi)
    spectrum = np.sqrt(power) * (np.cos(turns) + 1j * np.sin(turns))
    gain = 1.0 / (1.0 + (frequency / patch.cutoff_hz) ** 4) ** 0.5
    closed_gain = 1.0 / (1.0 + (frequency / (0.3 * patch.cutoff_hz)) ** 4) ** 0.5
    opened = scipy.fft.irfft((spectrum * gain).astype(np.complex64), length)
    closed = scipy.fft.irfft((spectrum * closed_gain).astype(np.complex64), length)
    level = np.float32(0.35 / max(float(np.sqrt(np.mean(opened**2))), 1e-9))
    return closed * level, opened * level


def _add_note(power: Samples, patch: PadPatch, pitch_hz: float, bin_hz: float) -> None:
    """Adds a note's partials, Gaussian bands that widen with frequency, to `power` in place."""
    highest_hz = min(0.45 * bin_hz * 2 * (len(power) - 1), 4.0 * patch.cutoff_hz + pitch_hz)
    for number in range(1, int(highest_hz / pitch_hz) + 1):
        centre_hz = pitch_hz * number
        # Narrower in cents for high partials: noise that wide would flutter like onsets.
        width_hz = (2.0 ** (patch.width_cents / 1200.0) - 1.0) * pitch_hz * number**0.6 + 0.2
        first = max(0, int((centre_hz - 3.0 * width_hz) / bin_hz))
        last = min(len(power), int((centre_hz + 3.0 * width_hz) / bin_hz) + 2)
        distance = (np.arange(first, last) * bin_hz - centre_hz) / width_hz
        level = number**-patch.tilt * (patch.even if number % 2 == 0 else 1.0)
        power[first:last] += (level**2 / width_hz) * np.exp(-(distance**2))
