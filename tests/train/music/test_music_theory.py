"""Keys, chords, voicings, grids and swing against what any theory book says."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from musicgen_rt.train.music.beat_grid import build_grid
from musicgen_rt.train.music.theory import MODES, PITCH_CLASS_NAMES, Key, build_chord, voice_chord
from musicgen_rt.train.music.timing import swing_beats

LIBROSA_MODES = {
    "major": "maj",
    "minor": "min",
    "dorian": "dor",
    "mixolydian": "mix",
    "phrygian": "phr",
}


@pytest.mark.parametrize("mode", MODES)
def test_scales_are_librosas(mode: str) -> None:
    for tonic in range(12):
        ours = [Key(tonic, mode).pitch_class(degree) for degree in range(7)]
        theirs = librosa.key_to_degrees(f"{PITCH_CLASS_NAMES[tonic]}:{LIBROSA_MODES[mode]}")
        assert sorted(ours) == sorted(theirs)


@pytest.mark.parametrize(
    ("key", "degree", "shape", "name", "classes"),
    [
        (Key(0, "major"), 0, "triad", "C maj", (0, 4, 7)),
        (Key(0, "major"), 1, "seventh", "D min7", (2, 5, 9, 0)),
        (Key(0, "major"), 4, "seventh", "G 7", (7, 11, 2, 5)),
        (Key(0, "major"), 6, "triad", "B dim", (11, 2, 5)),
        (Key(9, "minor"), 5, "seventh", "F maj7", (5, 9, 0, 4)),
        (Key(2, "dorian"), 3, "triad", "G maj", (7, 11, 2)),
        (Key(7, "mixolydian"), 6, "triad", "F maj", (5, 9, 0)),
        (Key(4, "phrygian"), 1, "triad", "F maj", (5, 9, 0)),
        (Key(0, "major"), 3, "power", "F 5", (5, 0)),
    ],
)
def test_chords_of_the_scale(
    key: Key, degree: int, shape: str, name: str, classes: tuple[int, ...]
) -> None:
    chord = build_chord(key, degree, shape)
    assert (chord.name, chord.pitch_classes) == (name, classes)


def test_voicings_hold_the_chord_and_move_little() -> None:
    key = Key(0, "major")
    previous: tuple[int, ...] = ()
    for degree in (0, 5, 3, 4, 0):
        chord = build_chord(key, degree, "triad")
        pitches = voice_chord(chord, previous, low=52, voices=3)
        assert {pitch % 12 for pitch in pitches} == set(chord.pitch_classes)
        assert list(pitches) == sorted(set(pitches))
        if previous:
            assert max(abs(a - b) for a, b in zip(pitches, previous, strict=True)) <= 5
        previous = pitches


def test_pitch_rises_by_octaves_with_the_degree() -> None:
    key = Key(9, "minor")
    assert [key.pitch(degree, 57) for degree in (0, 2, 7, 9, -1)] == [57, 60, 69, 72, 55]


def test_grid_places_beats_by_their_tempos() -> None:
    bpm = np.array([120.0, 120.0, 60.0, 60.0])
    grid = build_grid(bpm, 4, first_beat_phase=1.5, seconds=5.0)
    assert grid.edges_seconds[:5] == pytest.approx((-0.75, -0.25, 0.25, 1.25, 2.25))
    assert len(grid.edges_seconds) % 4 == 1
    assert grid.edges_seconds[-1] >= 5.0
    beats = np.array([-1.0, 0.3, 1.0, 2.5, 7.7])
    np.testing.assert_allclose(grid.beats(grid.seconds(beats)), beats)
    assert grid.seconds(2.5) == pytest.approx(0.75)
    np.testing.assert_allclose(grid.bpm([0.0, 0.5]), [120.0, 60.0])


def test_swing_delays_off_beats_only() -> None:
    beats = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
    swung = swing_beats(beats, 2.0 / 3.0, 0.5)
    np.testing.assert_allclose(swung, [0.0, 1 / 3, 0.5, 0.5 + 1 / 3, 1.0])
    np.testing.assert_allclose(swing_beats(beats, 0.5, 0.5), beats)
