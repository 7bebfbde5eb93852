"""Timelines whose place in the bar is set anew: joined to another, or moved."""

from __future__ import annotations

import itertools
import json
import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.errors import ParameterError

bpms = st.one_of(st.integers(20, 999).map(float), st.floats(20.0, 999.0))


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    timeline = Timeline.start(draw(bpms), draw(st.integers(1, 16)))
    frame = 0
    for _ in range(draw(st.integers(0, 3))):
        frame += draw(st.integers(1, 600))
        if draw(st.booleans()):
            timeline = timeline.with_tempo(frame, draw(bpms), draw(st.none() | st.integers(1, 16)))
        else:
            beats = timeline.clock_at(frame).beats_per_bar
            place = draw(st.floats(0, beats, exclude_max=True))
            timeline = timeline.with_position(frame, place)
    return timeline


def phase_apart(one: float, two: float) -> float:
    """The distance of two phases around the circle."""
    return abs((one - two + 0.5) % 1 - 0.5)


def assert_sound(timeline: Timeline, end: int) -> None:
    """What holds for every timeline: bars and beats in order, bar starts one after the other."""
    beats = [timeline.beat_at(frame) for frame in range(-5, end)]
    assert all(one < two for one, two in itertools.pairwise(beats))
    bars = [timeline.bar_position_at(frame)[0] for frame in range(-5, end)]
    assert all(one <= two for one, two in itertools.pairwise(bars))
    starts = timeline.bar_start_frames(-5, end)
    assert all(one < two for one, two in itertools.pairwise(starts))
    for frame in range(-5, end, 29):
        assert math.isclose(timeline.frame_at(timeline.beat_at(frame)), frame, abs_tol=1e-6)
        last = max((start for start in starts if start <= frame), default=None)
        if last is not None:
            assert timeline.last_bar_start_at_or_before(frame) == last
        coming = min((start for start in starts if start >= frame), default=None)
        if coming is not None:
            assert timeline.next_bar_start_at_or_after(frame) == coming
        assert 0 <= timeline.clock_at(frame).bar_phase < 1
        assert frame - 400 <= timeline.whole_bars_before(frame, 400) <= frame


@given(timelines(), st.integers(0, 900), timelines(), st.integers(0, 900))
@settings(deadline=None, max_examples=30)
def test_the_clock_is_the_one_and_then_the_other(
    one: Timeline, frame: int, two: Timeline, other_frame: int
) -> None:
    joined = one.joined(frame, two, other_frame)
    for at in range(max(0, frame - 40), frame + 150):
        clock = joined.clock_at(at)
        wanted = one.clock_at(at) if at < frame else two.clock_at(at - frame + other_frame)
        assert (clock.bpm, clock.beats_per_bar) == (wanted.bpm, wanted.beats_per_bar)
        assert phase_apart(clock.bar_phase, wanted.bar_phase) < 1e-9
    assert_sound(joined, frame + 150)
    assert Timeline.from_json(json.loads(json.dumps(joined.to_json()))) == joined


@given(timelines(), st.integers(1, 900))
@settings(deadline=None, max_examples=30)
def test_joined_to_itself_in_place_nothing_changes(timeline: Timeline, frame: int) -> None:
    assert timeline.joined(frame, timeline, frame) == timeline


@given(timelines())
@settings(deadline=None, max_examples=30)
def test_any_timeline_is_sound_and_survives_json(timeline: Timeline) -> None:
    assert_sound(timeline, 900)
    assert Timeline.from_json(json.loads(json.dumps(timeline.to_json()))) == timeline


def test_by_hand_a_place_ahead_is_in_the_same_bar_and_one_behind_in_the_next() -> None:
    timeline = Timeline.start(120.0)  # 25 frames a beat, 100 a bar
    ahead = timeline.with_position(125, 3)  # from beat 1 of bar 1 to beat 3 of it
    assert ahead.bar_position_at(125) == (1, 3.0)
    assert ahead.bar_start_frames(0, 400) == [0, 100, 150, 250, 350]
    assert ahead.beat_at(124) == 4.96
    assert ahead.beat_at(125) == 7.0
    behind = timeline.with_position(175, 1)  # from beat 3 of bar 1 back to beat 1: bar 2
    assert behind.bar_position_at(175) == (2, 1.0)
    assert behind.bar_start_frames(0, 400) == [0, 100, 175, 250, 350]
    assert behind.bar_line_at(3) == 250.0
    assert behind.frame_at(8.5) == 175.0, "half a beat into bar 2, which nobody heard"


def test_a_rounded_bar_line_is_no_jump() -> None:
    timeline = Timeline.start(123.0)  # bar lines at 97.56, 195.12, ...
    for frame in (98, 195, 293):  # where they are played
        line = timeline.with_position(frame, 0)
        assert line.bar_start_frames(0, frame + 1) == timeline.bar_start_frames(0, frame + 1)
        assert line.clock_at(frame).bar_phase == 0


def test_a_tempo_at_the_jump_leaves_the_place() -> None:
    timeline = Timeline.start(120.0).with_position(110, 3).with_tempo(110, 60.0)
    assert timeline.clock_at(110).bar_phase == 0.75
    assert timeline.clock_at(110).bpm == 60.0
    assert timeline.with_tempo(110, 120.0) == Timeline.start(120.0).with_position(110, 3)
    three = timeline.with_tempo(110, beats_per_bar=3)
    assert three.clock_at(110).bar_phase == 0
    assert three.bar_start_frames(0, 300) == [0, 100, 110, 260]


def test_a_place_is_forgotten_with_what_came_before_it() -> None:
    timeline = Timeline.start(100.0).with_position(333, 2).with_tempo(500, 90.0, 3)
    short = timeline.forget_before(400)
    assert short.clock_at(450) == timeline.clock_at(450)
    assert Timeline.from_json(short.to_json()) == short


@pytest.mark.parametrize(
    ("frame", "beats", "text"),
    [(10, 4, "less than the bar's 4"), (10, -0.5, "0 or more"), (-1, 0, "first frame 0")],
)
def test_wrong_places(frame: int, beats: float, text: str) -> None:
    with pytest.raises(ParameterError, match=text):
        Timeline.start(120.0).with_position(frame, beats)


def test_other_frame_rates_are_refused() -> None:
    with pytest.raises(ParameterError, match="75 frames a second"):
        Timeline.start(120.0).joined(5, Timeline.start(120.0, frame_rate_hz=75), 0)


@pytest.mark.parametrize(
    "row",
    [
        [50, 120.0, 4, "1", "0", 0],  # beats would go back
        [0, 120.0, 4, "9", "8", 2],  # no frame after the first
        [50, 120.0, 4, "9", "8", -1],  # bars would go back
        [50, 0.0, 4, "9", "8", 2],
        [50, 120.0, 4, "9"],
        [50, 120.0, 4, "a", "8", 2],
        [50, 120.0, 4, "1/0", "8", 2],
    ],
)
def test_damaged_rows_are_refused(row: list[object]) -> None:
    value = Timeline.start(120.0).to_json()
    value["segments"].append(row)
    with pytest.raises(ParameterError):
        Timeline.from_json(value)


def test_exactness_over_many_jumps() -> None:
    timeline = Timeline.start(123.4)
    for n in range(1, 40):
        timeline = timeline.with_position(n * 1001, Fraction(n, 10))
    assert timeline.clock_at(39 * 1001).bar_phase == pytest.approx(3.9 / 4, abs=1e-12)
    assert_sound(timeline, 900)
