"""Melodies as an engine slices them: windows, loops, ends and the round trip through JSON."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from musicgen_rt.errors import ParameterError
from musicgen_rt.live.melody import AudioMelody, Melody, NoteMelody, melody_from_notes
from musicgen_rt.model.chroma import REST_CLASS, ChromaParameters, Note

HOP_SECONDS = 0.128
R = REST_CLASS


def scale(loop_seconds: float | None = None) -> NoteMelody:
    """C D E F, a second each."""
    notes = [Note(60 + step, i, i + 1) for i, step in enumerate((0, 2, 4, 5))]
    return melody_from_notes(notes, loop_seconds=loop_seconds)


def heard(loop_seconds: float | None = None, rest: str = "null") -> AudioMelody:
    """Ten hops: two of A, two of silence, six of B."""
    classes = (9, 9, R, R, 11, 11, 11, 11, 11, 11)
    return AudioMelody(1.28, loop_seconds, rest, classes, HOP_SECONDS)  # type: ignore[arg-type]


def classes_of(chroma: torch.Tensor) -> list[int]:
    assert chroma.dtype == torch.float32
    assert chroma.sum(dim=1).eq(1).all()
    return chroma.argmax(dim=1).tolist()


def test_notes_played_once() -> None:
    melody = scale()
    assert classes_of(melody.chroma_window(0, 4)) == [0, 0, 0, 0]
    assert classes_of(melody.chroma_window(100, 7)) == [4] * 7  # from 2 s
    assert melody.frame_classes(0, 50).tolist() == [0] * 50
    assert melody.frame_classes(190, 20).tolist() == [5] * 10 + [R] * 10
    assert melody.frame_classes(-5, 10).tolist() == [R] * 5 + [0] * 5


def test_after_the_end_and_before_the_start_comes_the_null_melody() -> None:
    melody = scale()
    assert classes_of(melody.chroma_window(200, 5)) == [0] * 5
    assert classes_of(melody.chroma_window(5000, 5)) == [0] * 5
    late = melody_from_notes([Note(67, 0.0, 1.0)])
    assert classes_of(late.chroma_window(-50, 9)) == [0] * 8 + [7]


def test_notes_in_a_loop() -> None:
    melody = scale(loop_seconds=4.0)
    whole = melody.frame_classes(0, 200)
    for rounds in (-3, 1, 1000):
        assert torch.equal(melody.frame_classes(200 * rounds, 200), whole)
        assert torch.equal(melody.chroma_window(200 * rounds, 30), melody.chroma_window(0, 30))
    assert melody.frame_classes(190, 20).tolist() == [5] * 10 + [0] * 10


def test_a_loop_shorter_than_the_melody_cuts_it_and_a_longer_one_rests() -> None:
    short = scale(loop_seconds=1.5)
    assert short.frame_classes(70, 10).tolist() == [2] * 5 + [0] * 5
    long = scale(loop_seconds=6.0)
    assert long.frame_classes(195, 10).tolist() == [5] * 5 + [R] * 5
    assert long.frame_classes(295, 10).tolist() == [R] * 5 + [0] * 5
    assert classes_of(long.chroma_window(230, 4)) == [5] * 4  # held


def test_a_held_note_crosses_the_loop_and_every_window() -> None:
    melody = melody_from_notes([Note(65, 1.0, 2.0)], length_seconds=4.0, loop_seconds=4.0)
    assert classes_of(melody.chroma_window(0, 60)) == [5] * 60
    assert classes_of(melody.chroma_window(360, 1)) == [5]
    short = melody_from_notes([Note(65, 0.1, 0.2), Note(69, 3.0, 4.0)], loop_seconds=2.5)
    assert classes_of(short.chroma_window(240, 12)) == [5] * 12  # the note at 3 s is cut off
    null = melody_from_notes(
        [Note(65, 1.0, 2.0)], length_seconds=4.0, loop_seconds=4.0, rest="null"
    )
    assert classes_of(null.chroma_window(125, 8)) == [0] * 8


@settings(max_examples=60, deadline=None)
@given(start=st.integers(-300, 900), loop=st.sampled_from([None, 4.0, 2.7, 0.9, 7.0]))
def test_windows_are_slices_of_one_melody(start: int, loop: float | None) -> None:
    """At multiples of 32 frames (five hops) the grids of two windows coincide."""
    for melody in (scale(loop), heard(loop), heard(loop, "hold")):
        early = melody.chroma_window(start, 40)
        late = melody.chroma_window(start + 32, 35)
        assert torch.equal(early[5:], late)
        frames = melody.frame_classes(start, 60)
        assert torch.equal(frames[20:], melody.frame_classes(start + 20, 40))


@settings(max_examples=60, deadline=None)
@given(
    gaps=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=12),
    loop=st.floats(0.3, 9.0),
    start=st.integers(-400, 800),
)
def test_a_loop_is_the_notes_written_out(
    gaps: list[tuple[int, int]], loop: float, start: int
) -> None:
    """Against a look-up of each frame's place in the loop."""
    notes, at = [], 0.0
    for pitch, (length, gap) in enumerate(gaps, 60):
        notes.append(Note(pitch, at, at + length / 11))
        at += (length + gap) / 11
    melody = melody_from_notes(notes, loop_seconds=loop, rest="null")
    frames = melody.frame_classes(start, 30).tolist()
    for frame, actual in enumerate(frames, start):
        seconds = (frame + 0.5) / 50
        own = seconds % loop
        edges = [t for n in notes for t in (n.start_seconds, n.end_seconds)] + [0.0, loop]
        if min(abs(own - edge) for edge in edges) < 0.002:
            continue  # a matter of rounding
        sounding = [n.pitch % 12 for n in notes if n.start_seconds <= own < n.end_seconds]
        assert actual == (sounding[0] if sounding else R)


def test_other_frame_rates_and_hops() -> None:
    parameters = ChromaParameters(sample_rate_hz=16000, n_fft=4096, hop_samples=1600)
    rows = scale().chroma_window(25, 20, frame_rate_hz=25.0, parameters=parameters)
    assert classes_of(rows)[1:9] == [2] * 8  # 0.1 s a row from 1 s on
    assert classes_of(rows)[11:19] == [4] * 8
    assert scale().frame_classes(25, 2, frame_rate_hz=25.0).tolist() == [2, 2]


def test_audio_classes_go_to_the_nearest_hop() -> None:
    melody = heard()
    frames = melody.frame_classes(0, 70).tolist()
    expected = []
    for frame in range(70):
        seconds = (frame + 0.5) / 50
        nearest = min(range(10), key=lambda i: abs(i * HOP_SECONDS - seconds))
        expected.append(melody.classes[nearest] if seconds < 1.28 else R)
    assert frames == expected
    assert classes_of(melody.chroma_window(0, 12)) == [9, 9, 0, 0] + [11] * 6 + [0, 0]


def test_audio_rests_are_held_if_wanted() -> None:
    assert classes_of(heard(rest="hold").chroma_window(0, 12)) == [9] * 4 + [11] * 6 + [0, 0]
    silent_start = AudioMelody(0.64, 0.64, "hold", (R, R, 4, 7, R), HOP_SECONDS)
    assert classes_of(silent_start.chroma_window(0, 10)) == [7, 7, 4, 7, 7] * 2
    once = silent_start.looped(None)
    assert classes_of(once.chroma_window(0, 7)) == [0, 0, 4, 7, 7, 0, 0]


def test_audio_in_a_loop() -> None:
    melody = heard(loop_seconds=1.28)
    whole = [9, 9, 0, 0] + [11] * 6
    assert classes_of(melody.chroma_window(0, 30)) == whole * 3
    assert classes_of(melody.chroma_window(-64, 10)) == whole
    assert classes_of(melody.looped(0.256).chroma_window(0, 6)) == [9] * 6
    assert melody.looped(2.56).frame_classes(64, 64).tolist()[3:] == [R] * 61


@pytest.mark.parametrize("melody", [scale(), scale(3.3), heard(), heard(2.0, "hold")])
def test_json_round_trip(melody: Melody) -> None:
    copy = Melody.from_json(json.loads(json.dumps(melody.to_json())))
    assert copy == melody
    assert hash(copy) == hash(melody)
    assert melody.looped(1.1) != melody


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "midi"},
        {"notes": []},
        {"notes": [[60, 0.0]]},
        {"notes": [["C", 0.0, 1.0, 1]]},
        {"length_seconds": "4"},
        {"length_seconds": -1.0},
        {"loop_seconds": 0.0},
        {"loop_seconds": 1e9},
        {"rest": "drone"},
    ],
)
def test_from_json_refuses(change: dict[str, object]) -> None:
    with pytest.raises(ParameterError):
        Melody.from_json({**scale().to_json(), **change})


def test_from_json_refuses_what_lacks_fields() -> None:
    with pytest.raises(ParameterError, match="not a melody"):
        Melody.from_json({"kind": "audio"})


def test_chords_become_one_line() -> None:
    chord = [Note(60, 0.0, 1.0), Note(64, 0.0, 1.0), Note(67, 0.0, 0.5)]
    assert melody_from_notes(chord).frame_classes(0, 50).tolist() == [7] * 25 + [4] * 25
    low = melody_from_notes(chord, line="low")
    assert low.frame_classes(0, 50).tolist() == [0] * 50


def test_slivers_are_dropped() -> None:
    nearly_legato = [Note(60, 0.0, 1.0), Note(72, 0.0001, 0.0004), Note(64, 1.0, 1.0 + 1e-13)]
    notes = melody_from_notes(nearly_legato).notes
    assert [note.pitch for note in notes] == [60]


def test_notes_that_a_melody_refuses() -> None:
    with pytest.raises(ParameterError, match="no notes"):
        melody_from_notes([])
    with pytest.raises(ParameterError, match="reach beyond"):
        melody_from_notes([Note(60, -1.0, 1.0)])
    with pytest.raises(ParameterError, match="reach beyond"):
        melody_from_notes([Note(60, 0.0, 2.0)], length_seconds=1.0)
    with pytest.raises(ParameterError, match="overlap"):
        NoteMelody(4.0, None, "hold", (Note(60, 0.0, 2.0), Note(62, 1.0, 3.0)))
    with pytest.raises(ParameterError, match="classes"):
        AudioMelody(1.0, None, "hold", (13,), HOP_SECONDS)
