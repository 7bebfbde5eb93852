"""Chord progressions: well-worn ones of each mode, and walks over the scale's chords."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicgen_rt.train.music.beat_grid import BeatGrid
from musicgen_rt.train.music.random_stream import pick, pick_weighted
from musicgen_rt.train.music.style import Style
from musicgen_rt.train.music.theory import Chord, Key, build_chord

# Degrees from 0 = the tonic.
_PROGRESSIONS: dict[str, tuple[tuple[int, ...], ...]] = {
    "major": (
        (0, 4, 5, 3),
        (0, 5, 3, 4),
        (5, 3, 0, 4),
        (0, 3, 4, 3),
        (1, 4, 0, 0),
        (0, 2, 3, 4),
        (0, 3),
        (3, 4, 2, 5),
        (0, 1, 3, 4),
    ),
    "minor": (
        (0, 5, 2, 6),
        (0, 3, 5, 4),
        (0, 6, 5, 6),
        (0, 0, 5, 6),
        (0, 3),
        (0, 4, 5, 3),
        (0, 2, 6, 3),
        (5, 6, 0, 0),
        (0, 6, 5, 4),
    ),
    "dorian": ((0, 3), (0, 3, 0, 6), (0, 6, 3, 0), (0, 1, 2, 3), (0, 2, 3, 3), (0, 4, 3, 6)),
    "mixolydian": ((0, 6, 3, 0), (0, 6), (0, 3, 6, 3), (0, 4, 3, 6), (0, 1, 6, 0), (0, 0, 6, 3)),
    "phrygian": ((0, 1), (0, 1, 2, 1), (0, 6, 1, 0), (0, 1, 6, 0), (0, 3, 1, 0), (0, 5, 1, 6)),
}
_WALK_SHARE = 0.3
_STATIC_SHARE = 0.06


@dataclass(frozen=True)
class ChordSpan:
    """A chord from `start_beats` up to `end_beats`."""

    start_beats: float
    end_beats: float
    chord: Chord


def plan_chords(
    rng: np.random.Generator, style: Style, key: Key, grid: BeatGrid
) -> tuple[ChordSpan, ...]:
    """Chords from beat 0 to the end of the grid, a progression repeated with small changes."""
    progression = _pick_progression(rng, key)
    shape = pick_weighted(rng, style.chord_shapes)
    span_beats = pick_weighted(rng, style.chord_bars) * grid.beats_per_bar
    if span_beats != int(span_beats):
        span_beats = float(grid.beats_per_bar)
    end_beats = grid.bars * grid.beats_per_bar
    offset = int(rng.integers(len(progression)))
    chords: list[ChordSpan] = []
    start = 0.0
    while start < end_beats:
        degree = progression[(offset + len(chords)) % len(progression)]
        local_shape = pick_weighted(rng, style.chord_shapes) if rng.random() < 0.15 else shape
        end = min(start + span_beats, float(end_beats))
        chords.append(ChordSpan(start, end, build_chord(key, degree, local_shape)))
        start = end
    return tuple(chords)


def chord_at(chords: tuple[ChordSpan, ...], beat: float) -> ChordSpan:
    """The chord that sounds at `beat`; outside the clip the nearest one."""
    for span in chords:
        if beat < span.end_beats:
            return span
    return chords[-1]


def _pick_progression(rng: np.random.Generator, key: Key) -> tuple[int, ...]:
    """Degrees of one turn of the progression."""
    draw = rng.random()
    if draw < _STATIC_SHARE:
        return (0,)
    if draw < _STATIC_SHARE + _WALK_SHARE:
        return _walk(rng, key, int(pick(rng, (3, 4, 4, 6, 8))))
    return pick(rng, _PROGRESSIONS[key.mode])


def _walk(rng: np.random.Generator, key: Key, length: int) -> tuple[int, ...]:
    """A walk from the tonic by fourths, fifths, thirds and steps that avoids diminished triads."""
    degrees = [0]
    steps = {3: 4.0, 4: 3.0, 5: 3.0, 1: 2.0, 6: 2.0, 2: 1.5}
    while len(degrees) < length:
        degree = (degrees[-1] + pick_weighted(rng, steps)) % 7
        if build_chord(key, degree, "triad").quality in ("maj", "min"):
            degrees.append(degree)
    return tuple(degrees)
