"""Keys, modes and chords: the little music theory that the composer needs.

Pitch classes are 0-11 with C = 0; degrees are counted from 0 (the tonic); pitches are MIDI numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

PITCH_CLASS_NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
PITCH_CLASS_ALIASES = ("C", "Db", "D", "D#", "E", "F", "Gb", "G", "G#", "A", "A#", "B")

MODES: dict[str, tuple[int, ...]] = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
}

CHORD_SHAPES: dict[str, tuple[int, ...]] = {
    # Scale steps above the chord's own degree.
    "triad": (0, 2, 4),
    "seventh": (0, 2, 4, 6),
    "ninth": (0, 2, 4, 6, 8),
    "sus2": (0, 1, 4),
    "sus4": (0, 3, 4),
    "power": (0, 4),
}

_QUALITY_OF_INTERVALS: dict[tuple[int, ...], str] = {
    (0, 4, 7): "maj",
    (0, 3, 7): "min",
    (0, 3, 6): "dim",
    (0, 4, 8): "aug",
    (0, 4, 7, 11): "maj7",
    (0, 4, 7, 10): "7",
    (0, 3, 7, 10): "min7",
    (0, 3, 6, 10): "m7b5",
    (0, 2, 7): "sus2",
    (0, 1, 7): "susb2",
    (0, 5, 7): "sus4",
    (0, 6, 7): "sus#4",
    (0, 7): "5",
    (0, 6): "b5",
}


@dataclass(frozen=True)
class Key:
    """A tonic (pitch class 0-11) and a mode (a name in `MODES`)."""

    tonic: int
    mode: str

    @property
    def name(self) -> str:
        """The key as a musician writes it: "F# minor", "D dorian"."""
        return f"{PITCH_CLASS_NAMES[self.tonic]} {self.mode}"

    def pitch_class(self, degree: int) -> int:
        """The pitch class of scale `degree` (any integer; 7 is the tonic again)."""
        return (self.tonic + MODES[self.mode][degree % 7]) % 12

    def pitch(self, degree: int, octave_pitch: int) -> int:
        """The MIDI pitch of `degree`, with degree 0 on the tonic at or above `octave_pitch`."""
        tonic_pitch = octave_pitch + (self.tonic - octave_pitch) % 12
        return tonic_pitch + 12 * (degree // 7) + MODES[self.mode][degree % 7]


@dataclass(frozen=True)
class Chord:
    """A chord of the key: `degree` 0-6, `root` and `pitch_classes` 0-11 (the root first)."""

    degree: int
    root: int
    quality: str
    pitch_classes: tuple[int, ...]

    @property
    def name(self) -> str:
        """The chord symbol: "Am7" is written "A min7", a power chord "A 5"."""
        return f"{PITCH_CLASS_NAMES[self.root]} {self.quality}"


def build_chord(key: Key, degree: int, shape: str) -> Chord:
    """The chord of `shape` (a name in `CHORD_SHAPES`) that the mode puts on `degree`."""
    degree %= 7
    classes = tuple(key.pitch_class(degree + step) for step in CHORD_SHAPES[shape])
    intervals = tuple((pitch_class - classes[0]) % 12 for pitch_class in classes)
    if shape == "ninth":
        quality = _QUALITY_OF_INTERVALS.get(intervals[:4], "7") + "add9"
    else:
        quality = _QUALITY_OF_INTERVALS.get(intervals, "other")
    return Chord(degree, classes[0], quality, classes)


def voice_chord(chord: Chord, previous: tuple[int, ...], low: int, voices: int) -> tuple[int, ...]:
    """MIDI pitches of `chord`, ascending, that move least from `previous`.

    The lowest voice lies within an octave above `low`; `voices` caps the number of notes (a ninth
    gives up its root first, which the bass has). With no `previous` the root position is taken.
    """
    classes = list(chord.pitch_classes)
    if len(classes) > voices and len(classes) > 3:
        classes = classes[len(classes) - max(voices, 3) :]
    candidates = [_stack(classes[turn:] + classes[:turn], low) for turn in range(len(classes))]
    if not previous:
        return candidates[0]
    return min(candidates, key=lambda pitches: _movement(pitches, previous))


def _stack(classes: list[int], low: int) -> tuple[int, ...]:
    """The classes stacked upwards in order, the first at or above `low`."""
    pitches = [low + (classes[0] - low) % 12]
    for pitch_class in classes[1:]:
        pitches.append(pitches[-1] + ((pitch_class - pitches[-1]) % 12 or 12))
    return tuple(pitches)


def _movement(pitches: tuple[int, ...], previous: tuple[int, ...]) -> int:
    """Semitones that the voices travel, with a penalty for very open chords."""
    travel = sum(min(abs(pitch - other) for other in previous) for pitch in pitches)
    gaps = sum(max(0, upper - lower - 9) for lower, upper in pairwise(pitches))
    return travel + gaps
