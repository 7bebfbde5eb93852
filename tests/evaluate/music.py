"""Takes whose sound is known to the sample: clicks, tones and the generator's own music."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from musicgen_rt.evaluate.pocket_bend import steady_grid
from musicgen_rt.evaluate.pocket_pieces import RATE_HZ, Request, Samples, Take
from musicgen_rt.model.notes import Note
from musicgen_rt.train.lm_records import ROLES


def request(
    bpm: float = 120.0,
    beats_per_bar: int = 4,
    seconds: float = 12.0,
    notes: Sequence[Note] = (),
) -> Request:
    """A request of a steady clock that begins on a downbeat."""
    grid = steady_grid(bpm, beats_per_bar, seconds)
    return Request(0, "clicks", "house", bpm, grid, tuple(notes), dict.fromkeys(ROLES, False))


def clicks(times: Sequence[float] | np.ndarray, seconds: float, level: float = 0.8) -> Samples:
    """Short bursts of noise that begin at the given times."""
    samples = np.zeros(round(seconds * RATE_HZ), np.float32)
    burst = np.random.default_rng(0).standard_normal(1600) * np.exp(-np.arange(1600) / 250)
    burst = (level * burst / np.abs(burst).max()).astype(np.float32)
    for time in times:
        first = round(float(time) * RATE_HZ)
        part = samples[first : first + len(burst)]
        part += burst[: len(part)]
    return samples


def click_take(bpm: float, late_seconds: float = 0.0, seconds: float = 12.0) -> Take:
    """A click on each beat, all of them late by so much."""
    beats = np.arange(0.0, seconds - 0.1, 60.0 / bpm) + late_seconds
    return Take(request(bpm, seconds=seconds), clicks(beats[beats >= 0], seconds))


def tone(pitch: float, seconds: float, level: float = 0.3) -> Samples:
    """A MIDI pitch with four partials."""
    times = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    hertz = 440.0 * 2 ** ((pitch - 69) / 12)
    wave = sum(np.sin(2 * np.pi * hertz * k * times) / k**2 for k in (1, 2, 3, 4))
    return (level * np.asarray(wave)).astype(np.float32)


def tune_take(pitches: Sequence[int], note_seconds: float = 0.5) -> Take:
    """Tones one after the other, with the notes that they are."""
    samples = np.concatenate([tone(pitch, note_seconds) for pitch in pitches])
    notes = [
        Note(pitch, index * note_seconds, (index + 1) * note_seconds)
        for index, pitch in enumerate(pitches)
    ]
    return Take(request(seconds=len(pitches) * note_seconds, notes=notes), samples)
