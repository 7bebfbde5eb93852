"""From the written to the played: swing, human timing, and seconds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import numpy as np

from musicgen_rt.train.music.events import DrumHit, Note, PlacedHit, PlacedNote
from musicgen_rt.train.music.plan import SongPlan
from musicgen_rt.train.music.random_stream import random_stream

_SHORTEST_NOTE_SECONDS = 0.04


def swing_beats(beats: np.ndarray, swing: float, unit_beats: float) -> np.ndarray:
    """`beats` with the second half of each unit late: 0.5 is straight, 0.66 a triplet feel."""
    position = beats / unit_beats
    whole = np.floor(position)
    fraction = position - whole
    warped = np.where(
        fraction < 0.5,
        fraction * 2.0 * swing,
        swing + (fraction - 0.5) * 2.0 * (1.0 - swing),
    )
    return (whole + warped) * unit_beats


def place_notes(plan: SongPlan, role: str, notes: Sequence[Note]) -> tuple[PlacedNote, ...]:
    """The notes of `role` in seconds; notes of one chord share their human deviation."""
    if not notes:
        return ()
    starts = np.array([note.start_beats for note in notes])
    ends = starts + np.array([note.duration_beats for note in notes])
    start_seconds = _seconds(plan, starts) + _deviation(plan, role, starts)
    end_seconds = np.maximum(_seconds(plan, ends), start_seconds + _SHORTEST_NOTE_SECONDS)
    return tuple(
        PlacedNote(float(start), float(end), note.pitch, note.velocity)
        for start, end, note in zip(start_seconds, end_seconds, notes, strict=True)
    )


def place_line(plan: SongPlan, role: str, notes: Sequence[Note]) -> tuple[PlacedNote, ...]:
    """As `place_notes` for one voice: no note outlasts the start of the next."""
    placed = place_notes(plan, role, notes)
    return tuple(
        PlacedNote(
            note.start_seconds,
            min(note.end_seconds, following.start_seconds),
            note.pitch,
            note.velocity,
        )
        if following is not None
        else note
        for note, following in zip_longest(placed, placed[1:])
    )


def place_hits(plan: SongPlan, hits: Sequence[DrumHit]) -> tuple[PlacedHit, ...]:
    """The drum strokes in seconds."""
    if not hits:
        return ()
    starts = np.array([hit.start_beats for hit in hits])
    seconds = _seconds(plan, starts) + _deviation(plan, "drums", starts)
    return tuple(
        PlacedHit(float(start), hit.drum, hit.velocity)
        for start, hit in zip(seconds, hits, strict=True)
    )


def _seconds(plan: SongPlan, beats: np.ndarray) -> np.ndarray:
    return plan.grid.seconds(swing_beats(beats, plan.swing, plan.style.swing_unit_beats))


def _deviation(plan: SongPlan, role: str, starts: np.ndarray) -> np.ndarray:
    """Seconds early or late, equal for equal starts; within three deviations of the style's."""
    rng = random_stream(plan.seed, f"timing {role}")
    spread = plan.style.looseness_seconds
    unique, index = np.unique(starts, return_inverse=True)
    deviation = np.clip(rng.normal(0.0, spread, len(unique)), -2.0 * spread, 2.0 * spread)
    return deviation[index]
