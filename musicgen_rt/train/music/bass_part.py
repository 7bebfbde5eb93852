"""The bass player: a one-bar rhythm on the chord's roots, with octaves, fifths and approaches.

Letters: `R` root, `r` ghosted root, `O` octave, `F` fifth, `T` third, `A` approach to the next
root from a step below or above, `-` hold, `.` rest.
"""

from __future__ import annotations

import numpy as np

from musicgen_rt.train.music.events import Note
from musicgen_rt.train.music.harmony import ChordSpan, chord_at
from musicgen_rt.train.music.plan import SongPlan
from musicgen_rt.train.music.random_stream import pick, random_stream
from musicgen_rt.train.music.step_pattern import STEP_BEATS, fit_pattern, held_steps

_LOWEST_PITCH = 28


def compose_bass(plan: SongPlan) -> list[Note]:
    """All bass notes of the clip, one at a time, in the bars in which the bass plays."""
    rng = random_stream(plan.seed, "bass")
    patterns = [
        fit_pattern(pick(rng, plan.style.bass_rhythms), plan.beats_per_bar) for _ in range(2)
    ]
    lowest = _LOWEST_PITCH + int(rng.integers(0, 6))
    gate = float(rng.uniform(0.55, 1.0))
    notes: list[Note] = []
    for bar in plan.bars_of("bass"):
        pattern = patterns[plan.section_of_bar(bar).variant]
        notes.extend(_play_bar(rng, plan, pattern, bar, lowest, gate))
    return notes


def _play_bar(
    rng: np.random.Generator, plan: SongPlan, pattern: str, bar: int, lowest: int, gate: float
) -> list[Note]:
    notes = []
    for step, letter in enumerate(pattern):
        if letter in ".-":
            continue
        beat = bar * plan.beats_per_bar + step * STEP_BEATS
        steps = held_steps(pattern, step)
        span = chord_at(plan.chords, beat)
        duration = steps * STEP_BEATS
        duration *= gate if steps == 1 else 0.96
        pitch = _pitch(rng, plan, letter, span, lowest)
        velocity = float(rng.uniform(0.72, 1.0)) * (0.5 if letter == "r" else 1.0)
        notes.append(Note(beat, duration, pitch, velocity))
    return notes


def _pitch(
    rng: np.random.Generator, plan: SongPlan, letter: str, span: ChordSpan, lowest: int
) -> int:
    chord = span.chord
    root = lowest + (chord.root - lowest) % 12
    if letter == "O":
        return root + 12
    if letter == "F":
        return root + (plan.key.pitch_class(chord.degree + 4) - chord.root) % 12
    if letter == "T":
        return root + (plan.key.pitch_class(chord.degree + 2) - chord.root) % 12
    if letter == "A":
        following = chord_at(plan.chords, span.end_beats).chord.root
        target = lowest + (following - lowest) % 12
        return target + int(pick(rng, (-1, -2, 2)))
    return root
