"""Plays notes on a tone patch: each pitch is rendered once a clip, then cut to each note."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from musicgen_rt.train.music.audio_array import Samples, add_at, fade_edges
from musicgen_rt.train.music.events import PlacedNote
from musicgen_rt.train.music.tone_patch import TonePatch

_SOFT_VELOCITY = 0.62


def pitch_to_hz(pitch: float) -> float:
    """Equal temperament, A4 = 440 Hz."""
    return 440.0 * float(2.0 ** ((pitch - 69.0) / 12.0))


def play_tones(
    rng: np.random.Generator,
    patch: TonePatch,
    notes: Sequence[PlacedNote],
    samples: int,
    rate_hz: int,
) -> Samples:
    """All `notes` on a bus of `samples`, [N]."""
    bus = np.zeros(samples, dtype=np.float32)
    longest: dict[tuple[int, bool], float] = {}
    for note in notes:
        key = (note.pitch, note.velocity < _SOFT_VELOCITY)
        longest[key] = max(longest.get(key, 0.0), note.end_seconds - note.start_seconds)
    sounds = {
        (pitch, is_soft): _render(rng, patch, pitch, held, is_soft, rate_hz)
        for (pitch, is_soft), held in longest.items()
    }
    attack = max(8, int(patch.attack * rate_hz))
    release = max(8, int(patch.release * rate_hz))
    for note in notes:
        sound = sounds[note.pitch, note.velocity < _SOFT_VELOCITY]
        held = int((note.end_seconds - note.start_seconds) * rate_hz)
        shaped = fade_edges(sound[: held + release], attack, release)
        add_at(bus, shaped, int(note.start_seconds * rate_hz), note.velocity)
    return bus


def _render(
    rng: np.random.Generator,
    patch: TonePatch,
    pitch: int,
    held_seconds: float,
    is_soft: bool,
    rate_hz: int,
) -> Samples:
    pitch_hz = pitch_to_hz(pitch)
    seconds = patch.longest_seconds(held_seconds, pitch_hz) + 0.002
    return patch.render(rng, pitch_hz, seconds, 0.7 if is_soft else 0.0, rate_hz)
