"""The eight demo pieces: what each asks for, and when it changes its mind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# (start, length, MIDI pitch), in beats from the beginning of the melody.
Tune = tuple[tuple[float, float, int], ...]


@dataclass(frozen=True)
class Change:
    """From bar line `bar` on: another tempo, metre, prompt, tune or part."""

    bar: int
    bpm: float | None = None
    beats_per_bar: int | None = None
    prompt: str | None = None
    tune: Tune | None = None
    parts: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class DemoPiece:
    """A piece of `bars` bars; `parts` are on or off, the others free. The tune loops."""

    name: str
    prompt: str
    bpm: float
    bars: int
    beats_per_bar: int = 4
    parts: Mapping[str, bool] = field(default_factory=dict)
    tune: Tune = ()
    tune_beats: float = 16.0
    seed: int = 1
    changes: tuple[Change, ...] = ()


_CALL: Tune = (
    (0.0, 1.0, 69), (1.0, 0.5, 72), (1.5, 1.0, 76), (3.0, 1.0, 74), (4.0, 1.5, 72), (5.5, 0.5, 71),
    (6.0, 2.0, 69), (8.0, 1.0, 69), (9.0, 0.5, 72), (9.5, 1.0, 76), (11.0, 1.0, 79),
    (12.0, 1.5, 77), (13.5, 0.5, 76), (14.0, 2.0, 74),
)  # fmt: skip
_ANSWER: Tune = (
    (0.0, 0.5, 81), (0.5, 0.5, 79), (1.0, 1.0, 76), (2.5, 0.5, 74), (3.0, 1.0, 76), (4.0, 2.0, 72),
    (8.0, 0.5, 77), (8.5, 0.5, 76), (9.0, 1.0, 74), (10.5, 0.5, 72), (11.0, 1.0, 71),
    (12.0, 3.0, 69),
)  # fmt: skip
_LULLABY: Tune = (
    (0.0, 2.0, 64), (2.0, 1.0, 67), (3.0, 2.0, 71), (5.0, 1.0, 69), (6.0, 3.0, 67), (9.0, 2.0, 64),
    (11.0, 1.0, 62), (12.0, 2.0, 60), (14.0, 1.0, 64), (15.0, 2.0, 67), (17.0, 1.0, 66),
    (18.0, 3.0, 64),
)  # fmt: skip

DEMO_PIECES: tuple[DemoPiece, ...] = (
    DemoPiece(
        "1-house",
        "uplifting house, 124 bpm, A minor, synth stabs, saw bass, drum machine beats",
        bpm=124.0,
        bars=12,
        parts={"drums": True, "bass": True, "lead": False},
    ),
    DemoPiece(
        "2-drum-and-bass",
        "dark drum and bass with a growling reese bass and chopped breaks, 174 bpm",
        bpm=174.0,
        bars=16,
        parts={"drums": True, "bass": True},
    ),
    DemoPiece(
        "3-lo-fi-tune",
        "relaxed lo-fi hip hop, dusty drums, electric piano, a flute melody, A minor, 82 bpm",
        bpm=82.0,
        bars=8,
        parts={"drums": True, "bass": True, "lead": True},
        tune=_CALL,
    ),
    DemoPiece(
        "4-ambient-no-drums",
        "calm ambient, warm pads, a soft triangle lead, no drums, E minor, slow",
        bpm=66.0,
        bars=6,
        parts={"drums": False, "bass": False, "lead": True},
        tune=_ANSWER,
    ),
    DemoPiece(
        "5-waltz",
        "romantic synth-pop in 3/4 with a string section and chiming bells, 108 bpm, G major",
        bpm=108.0,
        bars=14,
        beats_per_bar=3,
        parts={"drums": True, "lead": True},
        tune=_LULLABY,
        tune_beats=21.0,
    ),
    DemoPiece(
        "6-rock-ramp",
        "energetic rock, acoustic drums, power chords on guitar, picked bass guitar",
        bpm=120.0,
        bars=14,
        parts={"drums": True, "bass": True},
        changes=tuple(Change(bar, bpm=120.0 + 5.0 * (bar - 3)) for bar in range(4, 9)),
    ),
    DemoPiece(
        "7-techno-break",
        "hypnotic techno, a saw bass, warehouse techno, 132 bpm, F minor",
        bpm=132.0,
        bars=16,
        parts={"drums": True, "bass": True},
        changes=(
            Change(6, parts={"drums": False, "bass": False}),
            Change(10, parts={"drums": True, "bass": True}),
        ),
    ),
    DemoPiece(
        "8-morph-and-metre",
        "groovy funk, slap bass, clavinet, brass, 104 bpm",
        bpm=104.0,
        bars=14,
        parts={"drums": True, "lead": True},
        tune=_CALL,
        changes=(
            Change(4, tune=_ANSWER),
            Change(8, prompt="dreamy synth-pop, gated drums, supersaw pads, 104 bpm"),
            Change(11, beats_per_bar=3),
        ),
    ),
)
