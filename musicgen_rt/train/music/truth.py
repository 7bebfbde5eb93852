"""What is true of a clip: every fact the generator decided, in seconds."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from musicgen_rt.train.music.beat_grid import BeatGrid
from musicgen_rt.train.music.events import PlacedHit, PlacedNote
from musicgen_rt.train.music.theory import PITCH_CLASS_NAMES


@dataclass(frozen=True)
class TimedChord:
    """A chord that the music implies from `start_seconds` to `end_seconds`; `root` 0-11."""

    start_seconds: float
    end_seconds: float
    name: str
    root: int
    degree: int
    pitch_classes: tuple[int, ...]


@dataclass(frozen=True)
class TimedSection:
    """A section of the form, on bar lines save where the clip's ends cut it."""

    start_seconds: float
    end_seconds: float
    name: str
    roles: tuple[str, ...]


@dataclass(frozen=True)
class TempoPoint:
    """From `time_seconds` on the tempo is `bpm`."""

    time_seconds: float
    bpm: float


@dataclass(frozen=True)
class BarActivity:
    """One bar (cut to the clip), and whether each role sounds a note in it."""

    start_seconds: float
    end_seconds: float
    drums: bool
    bass: bool
    pad: bool
    keys: bool
    lead: bool


@dataclass(frozen=True)
class Truth:
    """All facts of one clip of `seconds`. `key` is the tonic's pitch class 0-11.

    `grid` holds the beats, those just outside the clip too; `beats` and `downbeats` only those
    inside. `instruments` maps each role that is heard to the name of its sound. `bpm` is the
    tempo at the start; `tempo_map` has one point if it never changes.
    """

    seed: int
    seconds: float
    style: str
    mood: str
    bpm: float
    beats_per_bar: int
    swing: float
    key: int
    mode: str
    grid: BeatGrid
    beats: tuple[float, ...]
    downbeats: tuple[float, ...]
    tempo_map: tuple[TempoPoint, ...]
    chords: tuple[TimedChord, ...]
    sections: tuple[TimedSection, ...]
    bars: tuple[BarActivity, ...]
    instruments: dict[str, str]
    drum_hits: tuple[PlacedHit, ...]
    bass_notes: tuple[PlacedNote, ...]
    pad_notes: tuple[PlacedNote, ...]
    keys_notes: tuple[PlacedNote, ...]
    lead_notes: tuple[PlacedNote, ...]

    @property
    def key_name(self) -> str:
        """Such as "F# minor"."""
        return f"{PITCH_CLASS_NAMES[self.key]} {self.mode}"

    @property
    def has_drums(self) -> bool:
        """Whether a drum is struck anywhere in the clip."""
        return "drums" in self.instruments

    @property
    def has_steady_tempo(self) -> bool:
        """Whether one tempo holds from end to end."""
        return len(self.tempo_map) == 1

    def to_json(self) -> str:
        """The truth as a JSON object."""
        return json.dumps(dataclasses.asdict(self))


def truth_from_json(text: str) -> Truth:
    """The truth that `Truth.to_json` wrote; equal to the original."""
    data: dict[str, Any] = json.loads(text)
    data["grid"] = BeatGrid(
        tuple(data["grid"]["edges_seconds"]), int(data["grid"]["beats_per_bar"])
    )
    for name in ("beats", "downbeats"):
        data[name] = tuple(data[name])
    for name, kind in _ROWS.items():
        data[name] = tuple(kind(**_with_tuples(row)) for row in data[name])
    return Truth(**data)


_ROWS: dict[str, type[Any]] = {
    "tempo_map": TempoPoint,
    "chords": TimedChord,
    "sections": TimedSection,
    "bars": BarActivity,
    "drum_hits": PlacedHit,
    "bass_notes": PlacedNote,
    "pad_notes": PlacedNote,
    "keys_notes": PlacedNote,
    "lead_notes": PlacedNote,
}


def _with_tuples(row: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
