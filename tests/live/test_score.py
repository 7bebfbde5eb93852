"""Controls as functions of the frame, whatever the order in which they were set."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicgen_rt.errors import ParameterError
from musicgen_rt.live.melody import melody_from_notes
from musicgen_rt.live.memory import Memory
from musicgen_rt.live.placed_melody import PlacedMelody
from musicgen_rt.live.score import PARAMETERS, Change, Score, default_controls
from musicgen_rt.model.notes import Note

DEFAULT = 3.0
changes = st.lists(
    st.builds(
        Change,
        frame=st.integers(0, 60),
        value=st.floats(-5, 5, allow_nan=False),
        ramp_frames=st.integers(0, 40),
    ),
    max_size=8,
    unique_by=lambda change: change.frame,
)


def score_of(some: list[Change]) -> Score:
    score = Score({"cfg": DEFAULT})
    for change in some:
        score.set("cfg", change)
    return score


def told(some: list[Change], frame: int) -> float:
    """The value at a frame by walking through all frames: another way to say what a ramp is."""
    by_frame = {change.frame: change for change in some}
    value, start, ramp = DEFAULT, DEFAULT, Change(0, DEFAULT)
    for now in range(frame + 1):
        if now in by_frame:
            start, ramp = value, by_frame[now]
        done = now - ramp.frame + 1
        if done > ramp.ramp_frames:
            value = ramp.value
        else:
            value = start + (ramp.value - start) * done / (ramp.ramp_frames + 1)
    return value


@given(changes)
@settings(deadline=None, max_examples=200)
def test_ramps_that_cut_each_other_short(some: list[Change]) -> None:
    score = score_of(some)
    for frame in range(0, 110, 7):
        assert score.at("cfg", frame) == pytest.approx(told(some, frame), abs=1e-9)


@given(changes, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=200)
def test_the_order_of_setting_does_not_matter(some: list[Change], rng: random.Random) -> None:
    in_order = score_of(sorted(some, key=lambda change: change.frame))
    shuffled = list(some)
    rng.shuffle(shuffled)
    assert [score_of(shuffled).at("cfg", f) for f in range(110)] == [
        in_order.at("cfg", f) for f in range(110)
    ]


@given(changes, st.integers(0, 100))
@settings(deadline=None, max_examples=200)
def test_forgetting_changes_nothing_later(some: list[Change], horizon: int) -> None:
    score, whole = score_of(some), score_of(some)
    score.forget_before(horizon)
    score.forget_before(horizon)
    assert [score.at("cfg", f) for f in range(horizon, 130)] == [
        whole.at("cfg", f) for f in range(horizon, 130)
    ]
    assert score.num_changes <= whole.num_changes


def test_a_fader_that_never_arrives_stays_exact_and_bounded() -> None:
    score = Score({"weight/0": 0.0})
    for index in range(20_000):
        score.set("weight/0", Change(5 * index, float(index % 2), 50))
        if index % 1000 == 999:
            score.forget_before(5 * index - 200)
    assert score.num_changes < 2000
    assert 0.0 < score.at("weight/0", 100_100) <= 1.0


def test_a_change_at_the_same_frame_replaces() -> None:
    score = score_of([Change(10, 1.0), Change(10, 2.0)])
    assert (score.at("cfg", 9), score.at("cfg", 10)) == (DEFAULT, 2.0)
    assert score.num_changes == 1


def test_what_takes_memory_is_counted() -> None:
    score = score_of([Change(10, 1.0), Change(20, 2.0)])
    notes = [Note(60, at, at + 0.5) for at in (0.0, 1.0, 2.0)]
    melody = PlacedMelody(melody_from_notes(notes), 30, 50.0)
    for frame, value in ((30, melody), (40, None), (50, melody)):
        score.set("melody", Change(frame, value))
    score.set("memory", Change(60, Memory(0, np.zeros((4, 7), np.int64), ())))
    assert (score.num_changes, score.size) == (6, 6 + 3 + 3 + 7)
    score.forget_before(45)
    assert score.size == 1 + 2 + 3 + 1 + 7, "of what is over each control keeps its last"


def test_changes_after_are_those_of_the_named_controls() -> None:
    score = Score({})
    score.set("prompt/0", Change(5, "a"))
    score.set("prompt/1", Change(20, "b"))
    score.set("seed", Change(7, 3))
    assert score.changes_after(0, ("prompt/",)) == [5, 20]
    assert score.changes_after(5, ("prompt/", "seed")) == [7, 20]
    assert score.changes_after(20, ("prompt/",)) == []


def test_defaults() -> None:
    score = Score(default_controls(4.5))
    assert score.at("cfg", 0) == 4.5
    assert score.at("weight/3", 0) == 0.0
    assert score.at("prompt/3", 0) is None
    assert json.dumps(default_controls(3.0))


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e9, 10**400, "1", None, True])
def test_parameters_refuse_nonsense_and_name_the_range(name: str, value: float) -> None:
    with pytest.raises(ParameterError, match=rf"{name} is .*: expected") as failure:
        PARAMETERS[name].check(name, value)
    assert f"{PARAMETERS[name].high:g}" in str(failure.value)


def test_whole_parameters_refuse_fractions() -> None:
    with pytest.raises(ParameterError, match="whole number"):
        PARAMETERS["top_k"].check("top_k", 2.5)
    assert PARAMETERS["top_k"].check("top_k", 2.0) == 2
