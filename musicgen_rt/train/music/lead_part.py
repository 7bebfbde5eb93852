"""The lead: motifs that return, answer each other and rest, over the chords, one note at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicgen_rt.train.music.events import Note
from musicgen_rt.train.music.harmony import chord_at
from musicgen_rt.train.music.plan import SongPlan
from musicgen_rt.train.music.random_stream import pick, pick_weighted, random_stream
from musicgen_rt.train.music.step_pattern import STEP_BEATS

# Onsets of one beat in steps of a quarter of it; the number is how busy the cell is.
_BEAT_CELLS: dict[tuple[int, ...], float] = {
    (): 0.0,
    (0,): 0.3,
    (2,): 0.35,
    (0, 2): 0.6,
    (3,): 0.45,
    (0, 3): 0.65,
    (0, 1): 0.7,
    (1, 2): 0.75,
    (0, 2, 3): 0.85,
    (0, 1, 2): 0.85,
    (0, 1, 2, 3): 1.0,
}
# Each letter is a bar: a motif, its varied form in lower case, or a rest.
_PHRASES = ("AaAB", "A.a.", "AABa", "ABAb", "A.B.", "AAaB", "AbA.", "ABCa", "Aa.B", "AB.a")


_NOTES_THAT_MOVE = 3


@dataclass(frozen=True)
class Motif:
    """One bar: `onsets` in steps, `lengths` in steps, `contour` in scale steps from the start."""

    onsets: tuple[int, ...]
    lengths: tuple[int, ...]
    contour: tuple[int, ...]


@dataclass(frozen=True)
class LeadManner:
    """How this clip's lead plays: its lowest and highest pitch, gate and density 0-1."""

    low_pitch: int
    high_pitch: int
    gate: float
    density: float
    leap_share: float


def compose_lead(plan: SongPlan) -> list[Note]:
    """All lead notes of the clip, their starts rising in time."""
    rng = random_stream(plan.seed, "lead")
    low_pitch = int(rng.integers(55, 70))
    manner = LeadManner(
        low_pitch=low_pitch,
        high_pitch=low_pitch + int(rng.integers(12, 20)),
        gate=float(rng.uniform(*plan.style.lead_legato)),
        density=float(rng.uniform(*plan.style.lead_density)) * (1.0 + 0.25 * plan.mood.energy),
        leap_share=float(rng.uniform(0.1, 0.4)),
    )
    motifs = {name: _make_motif(rng, plan.beats_per_bar, manner) for name in "ABC"}
    phrase = _pick_phrase(rng, plan)
    offset = int(rng.integers(4))
    notes: list[Note] = []
    degree = int(rng.integers(0, 8))
    for bar in plan.bars_of("lead"):
        name = phrase[(bar + offset) % 4]
        if name == ".":
            continue
        motif = motifs[name.upper()]
        if name.islower():
            motif = _vary_motif(rng, motif)
        degree = _play_motif(rng, plan, manner, motif, bar, degree, notes)
    return notes


def _pick_phrase(rng: np.random.Generator, plan: SongPlan) -> str:
    """Four bars of motifs; a lead that is heard for a short while, or alone, has fewer rests."""
    phrase = pick(rng, _PHRASES)
    if len(plan.bars_of("lead")) <= 4:
        return phrase.replace(".", "a")
    return phrase.replace(".", "b", 1) if plan.roles == {"lead"} else phrase


def _make_motif(rng: np.random.Generator, beats_per_bar: int, manner: LeadManner) -> Motif:
    """A motif with at least one note, as busy as the manner asks."""
    onsets: list[int] = []
    for beat in range(beats_per_bar):
        wanted = float(np.clip(rng.normal(manner.density, 0.25), 0.0, 1.0))
        weights = {
            cell: float(np.exp(-(((busy - wanted) / 0.15) ** 2))) + 1e-3
            for cell, busy in _BEAT_CELLS.items()
        }
        onsets.extend(4 * beat + step for step in pick_weighted(rng, weights))
    if not onsets:
        onsets = [0]
    ends = [*onsets[1:], 4 * beats_per_bar]
    longest = int(pick(rng, (2, 4, 8, 16)))
    lengths = [min(end - onset, longest) for onset, end in zip(onsets, ends, strict=True)]
    return Motif(tuple(onsets), tuple(lengths), _make_contour(rng, manner, len(onsets)))


def _make_contour(rng: np.random.Generator, manner: LeadManner, notes: int) -> tuple[int, ...]:
    """A walk in scale steps that moves by at least a third, if it has notes enough."""
    contour = [0]
    while len(contour) < notes:
        contour.append(contour[-1] + _melodic_step(rng, manner))
    if notes >= _NOTES_THAT_MOVE and max(contour) - min(contour) < 2:
        return _make_contour(rng, manner, notes)
    return tuple(contour)


def _melodic_step(rng: np.random.Generator, manner: LeadManner) -> int:
    """Mostly a step or a repeat, at times a leap of up to a sixth."""
    if rng.random() < manner.leap_share:
        return int(pick(rng, (-5, -4, -3, -2, 2, 3, 4, 5)))
    return int(pick(rng, (-1, -1, 0, 1, 1)))


def _vary_motif(rng: np.random.Generator, motif: Motif) -> Motif:
    """The same rhythm with another ending, or one note fewer."""
    contour = list(motif.contour)
    for index in range(max(1, len(contour) // 2), len(contour)):
        contour[index] += int(pick(rng, (-2, -1, 1, 2)))
    if len(contour) > 2 and rng.random() < 0.3:
        return Motif(motif.onsets[:-1], motif.lengths[:-1], tuple(contour[:-1]))
    return Motif(motif.onsets, motif.lengths, tuple(contour))


def _play_motif(
    rng: np.random.Generator,
    plan: SongPlan,
    manner: LeadManner,
    motif: Motif,
    bar: int,
    degree: int,
    notes: list[Note],
) -> int:
    """Appends the motif's notes, begun near scale `degree`; returns the degree it ended on."""
    base = degree
    for onset, length, step in zip(motif.onsets, motif.lengths, motif.contour, strict=True):
        beat = bar * plan.beats_per_bar + onset * STEP_BEATS
        is_strong = onset % 8 == 0 or length >= 6 or onset == motif.onsets[-1]
        degree, pitch = _place(rng, plan, manner, base + step, beat, is_strong)
        gate = manner.gate if length < 8 else max(manner.gate, 0.85)
        velocity = float(rng.uniform(0.65, 0.95)) + (0.05 if onset % 4 == 0 else 0.0)
        notes.append(Note(beat, length * STEP_BEATS * gate, pitch, velocity))
    return degree


def _place(
    rng: np.random.Generator,
    plan: SongPlan,
    manner: LeadManner,
    degree: int,
    beat: float,
    is_strong: bool,
) -> tuple[int, int]:
    """(degree, pitch) of a note: folded into the range, on a chord tone where it is strong."""
    octave_pitch = manner.low_pitch
    while plan.key.pitch(degree, octave_pitch) > manner.high_pitch:
        degree -= 7
    while plan.key.pitch(degree, octave_pitch) < manner.low_pitch:
        degree += 7
    if is_strong and rng.random() < 0.85:
        classes = chord_at(plan.chords, beat).chord.pitch_classes
        for shift in (0, 1, -1, 2, -2):
            if plan.key.pitch_class(degree + shift) in classes:
                degree += shift
                break
    return degree, plan.key.pitch(degree, octave_pitch)
