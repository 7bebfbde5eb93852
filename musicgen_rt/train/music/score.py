"""Turns what was planned and played into the truth of the clip, cut to its length."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from musicgen_rt.train.music.beat_grid import BeatGrid
from musicgen_rt.train.music.events import PlacedHit, PlacedNote
from musicgen_rt.train.music.plan import ROLES, SongPlan
from musicgen_rt.train.music.truth import (
    BarActivity,
    TempoPoint,
    TimedChord,
    TimedSection,
    Truth,
)

# More than players are early: a stroke on a bar line counts for the bar that it begins.
_SOUNDING_SECONDS = 0.025

Spans = list[tuple[float, float]]


@dataclass(frozen=True)
class Score:
    """A plan and its performance; notes and hits may lie partly or wholly outside the clip."""

    plan: SongPlan
    seconds: float
    hits: tuple[PlacedHit, ...]
    notes: Mapping[str, tuple[PlacedNote, ...]]
    instruments: Mapping[str, str]


def write_truth(score: Score) -> Truth:
    """The facts of the clip; roles without a sound inside it are not named."""
    plan, seconds = score.plan, score.seconds
    hits = tuple(hit for hit in score.hits if 0.0 <= hit.start_seconds < seconds)
    notes = {role: _cut_notes(score.notes[role], seconds) for role in score.notes}
    heard = {"drums": bool(hits)} | {role: bool(part) for role, part in notes.items()}
    beats = np.asarray(plan.grid.edges_seconds)
    inside = (beats >= 0.0) & (beats < seconds)
    downbeat = np.arange(len(beats)) % plan.beats_per_bar == 0
    is_pitched = any(notes.values())
    return Truth(
        seed=plan.seed,
        seconds=seconds,
        style=plan.style.name,
        mood=plan.mood.name,
        bpm=round(float(plan.grid.bpm(0.0)), 6),
        beats_per_bar=plan.beats_per_bar,
        swing=plan.swing,
        key=plan.key.tonic,
        mode=plan.key.mode,
        grid=plan.grid,
        beats=tuple(beats[inside].tolist()),
        downbeats=tuple(beats[inside & downbeat].tolist()),
        tempo_map=_tempo_map(plan.grid, seconds),
        chords=_timed_chords(plan, seconds) if is_pitched else (),
        sections=_timed_sections(plan, seconds),
        bars=_activity(plan.grid, seconds, hits, notes),
        instruments={role: score.instruments[role] for role in ROLES if heard[role]},
        drum_hits=hits,
        bass_notes=notes["bass"],
        pad_notes=notes["pad"],
        keys_notes=notes["keys"],
        lead_notes=notes["lead"],
    )


def _cut_notes(notes: Iterable[PlacedNote], seconds: float) -> tuple[PlacedNote, ...]:
    """The notes that sound inside the clip, cut to it."""
    return tuple(
        PlacedNote(
            max(note.start_seconds, 0.0), min(note.end_seconds, seconds), note.pitch, note.velocity
        )
        for note in notes
        if note.start_seconds < seconds and note.end_seconds > 0.0
    )


def _tempo_map(grid: BeatGrid, seconds: float) -> tuple[TempoPoint, ...]:
    """A point at the start and wherever the tempo changes."""
    points: list[TempoPoint] = []
    edges = grid.edges_seconds
    for start, end in pairwise(edges):
        if end <= 0.0 or start >= seconds:
            continue
        bpm = round(60.0 / (end - start), 6)
        if not points or bpm != points[-1].bpm:
            points.append(TempoPoint(max(start, 0.0), bpm))
    return tuple(points)


def _timed_chords(plan: SongPlan, seconds: float) -> tuple[TimedChord, ...]:
    chords = []
    for span in plan.chords:
        start, end = (float(edge) for edge in plan.grid.seconds([span.start_beats, span.end_beats]))
        if end > 0.0 and start < seconds:
            chord = span.chord
            chords.append(
                TimedChord(
                    max(start, 0.0),
                    min(end, seconds),
                    chord.name,
                    chord.root,
                    chord.degree,
                    chord.pitch_classes,
                )
            )
    return tuple(chords)


def _timed_sections(plan: SongPlan, seconds: float) -> tuple[TimedSection, ...]:
    sections = []
    for section in plan.sections:
        edges = np.array([section.first_bar, section.end_bar]) * plan.beats_per_bar
        start, end = (float(edge) for edge in plan.grid.seconds(edges))
        if end > 0.0 and start < seconds:
            roles = tuple(role for role in ROLES if role in section.roles)
            sections.append(TimedSection(max(start, 0.0), min(end, seconds), section.name, roles))
    return tuple(sections)


def _activity(
    grid: BeatGrid,
    seconds: float,
    hits: tuple[PlacedHit, ...],
    notes: Mapping[str, tuple[PlacedNote, ...]],
) -> tuple[BarActivity, ...]:
    """For each bar, which roles sound in it: at least half of a drum stroke, 25 ms of a note."""
    spans: dict[str, Spans] = {
        role: [(note.start_seconds, note.end_seconds) for note in part]
        for role, part in notes.items()
    }
    spans["drums"] = [
        (hit.start_seconds, hit.start_seconds + 2 * _SOUNDING_SECONDS) for hit in hits
    ]
    lines = [min(max(line, 0.0), seconds) for line in grid.edges_seconds[:: grid.beats_per_bar]]
    return tuple(
        BarActivity(start, end, **{role: _sounds(spans[role], start, end) for role in ROLES})
        for start, end in pairwise(lines)
        if end > start
    )


def _sounds(spans: Spans, start: float, end: float) -> bool:
    return any(min(last, end) - max(first, start) >= _SOUNDING_SECONDS for first, last in spans)
