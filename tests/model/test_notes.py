"""Notes and the reduction of chords to one line."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicgen_rt.errors import ParameterError
from musicgen_rt.model.notes import Line, Note, reduce_polyphony

notes_strategy = st.lists(
    st.builds(
        lambda pitch, start, length, velocity: Note(
            pitch, start / 8, (start + length) / 8, velocity
        ),
        st.integers(40, 80),
        st.integers(0, 60),
        st.integers(1, 24),
        st.integers(1, 127),
    ),
    max_size=25,
)


def as_tuples(notes: tuple[Note, ...]) -> list[tuple[int, float, float]]:
    return [(note.pitch, note.start_seconds, note.end_seconds) for note in notes]


CHORDS = [Note(48, 0.0, 4.0, 90), Note(72, 1.0, 2.0, 40), Note(60, 1.5, 3.0, 100)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("top", [(48, 0, 1), (72, 1, 2), (60, 2, 3), (48, 3, 4)]),
        ("low", [(48, 0, 4)]),
        ("last", [(48, 0, 1), (72, 1, 1.5), (60, 1.5, 3), (48, 3, 4)]),
        ("strongest", [(48, 0, 1.5), (60, 1.5, 3), (48, 3, 4)]),
    ],
)
def test_lines_by_hand(line: Line, expected: list[tuple[int, float, float]]) -> None:
    assert as_tuples(reduce_polyphony(CHORDS, line)) == expected


def test_repeated_notes_stay_apart() -> None:
    repeated = (Note(60, 0.0, 1.0), Note(60, 1.0, 2.0))
    assert reduce_polyphony(repeated) == repeated


@settings(max_examples=150, deadline=None)
@given(notes=notes_strategy, line=st.sampled_from(["top", "low", "last", "strongest"]))
def test_one_line_that_prefers_the_right_note(notes: list[Note], line: Line) -> None:
    melody = reduce_polyphony(notes, line)
    for one, two in itertools.pairwise(melody):
        assert one.end_seconds <= two.start_seconds
    for step in range(90 * 2):
        moment = step / 16 + 1 / 32
        sounding = [n for n in notes if n.start_seconds <= moment < n.end_seconds]
        chosen = [n for n in melody if n.start_seconds <= moment < n.end_seconds]
        assert len(chosen) == (1 if sounding else 0)
        if not sounding:
            continue
        if line == "top":
            assert chosen[0].pitch == max(n.pitch for n in sounding)
        elif line == "low":
            assert chosen[0].pitch == min(n.pitch for n in sounding)
        elif line == "strongest":
            assert chosen[0].velocity == max(n.velocity for n in sounding)
        else:
            newest = max(n.start_seconds for n in sounding)
            assert chosen[0].pitch == max(n.pitch for n in sounding if n.start_seconds == newest)


@pytest.mark.parametrize(
    ("pitch", "start", "end", "velocity"),
    [
        (-1, 0.0, 1.0, 100),
        (128, 0.0, 1.0, 100),
        (60, 1.0, 1.0, 100),
        (60, 2.0, 1.0, 100),
        (60, math.nan, 1.0, 100),
        (60, 0.0, math.inf, 100),
        (60, 0.0, 1.0, 0),
        (60, 0.0, 1.0, 128),
    ],
)
def test_notes_out_of_range(pitch: int, start: float, end: float, velocity: int) -> None:
    with pytest.raises(ParameterError, match="expected"):
        Note(pitch, start, end, velocity)


def test_unknown_line() -> None:
    with pytest.raises(ParameterError, match="top, low, last, strongest"):
        reduce_polyphony(CHORDS, "middle")  # type: ignore[arg-type]
