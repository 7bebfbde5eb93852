"""What the composer writes and the players play: notes and drum hits, in beats."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Note:
    """One note: `start_beats` on the unswung grid, MIDI `pitch`, `velocity` 0-1."""

    start_beats: float
    duration_beats: float
    pitch: int
    velocity: float


@dataclass(frozen=True)
class DrumHit:
    """One stroke of a drum (a name in `drum_recipes.DRUM_RECIPES`), `velocity` 0-1."""

    start_beats: float
    drum: str
    velocity: float


@dataclass(frozen=True)
class PlacedNote:
    """A note in seconds, with swing and human timing in it; this is what sounds."""

    start_seconds: float
    end_seconds: float
    pitch: int
    velocity: float


@dataclass(frozen=True)
class PlacedHit:
    """A drum stroke in seconds."""

    start_seconds: float
    drum: str
    velocity: float
