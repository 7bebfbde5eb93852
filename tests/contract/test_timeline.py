"""The timeline: inverses, continuity, bar lines and a day without drift."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicgen_rt.contract.timeline import ClockPoint, Timeline
from musicgen_rt.errors import ParameterError

DAY_FRAMES = 24 * 3600 * 50

bpm_strategy = st.one_of(
    st.integers(20, 999).map(float), st.floats(20.0, 999.0), st.sampled_from([123.4, 89.99])
)


@st.composite
def timelines(draw: st.DrawFn, same_signature: bool = False) -> Timeline:
    beats_per_bar = draw(st.integers(1, 16))
    timeline = Timeline.start(
        draw(bpm_strategy), beats_per_bar, frame_rate_hz=draw(st.sampled_from([50, 25, 75.0]))
    )
    frame = 0
    for _ in range(draw(st.integers(0, 5))):
        frame += draw(st.integers(1, 5000))
        signature = None if same_signature else draw(st.none() | st.integers(1, 16))
        timeline = timeline.with_tempo(frame, draw(bpm_strategy), signature)
    return timeline


def test_plain_120_bpm_by_hand() -> None:
    timeline = Timeline.start(120.0)  # 25 frames a beat, 100 a bar
    assert timeline.beat_at(0) == 0.0
    assert timeline.beat_at(130) == 5.2
    assert timeline.frame_at(8.0) == 200.0
    assert timeline.bar_position_at(330) == (3, 1.2)
    assert timeline.bar_start_frames(0, 301) == [0, 100, 200, 300]
    assert timeline.bar_start_frames(1, 300) == [100, 200]
    assert timeline.last_bar_start_at_or_before(299) == 200
    assert timeline.next_bar_start_at_or_after(200) == 200
    assert timeline.next_bar_start_at_or_after(201) == 300
    assert timeline.clock_at(330) == ClockPoint(0.3, 0.2, 4, 120.0)


def test_bars_of_a_tempo_that_does_not_divide_are_rounded_from_the_exact_length() -> None:
    timeline = Timeline.start(123.0)  # a bar is 97.56 frames
    assert timeline.bar_start_frames(0, 500) == [0, 98, 195, 293, 390, 488]


def test_tempo_change_by_hand() -> None:
    timeline = Timeline.start(120.0).with_tempo(150, 60.0)  # mid-bar, at beat 6
    assert timeline.beat_at(150) == 6.0
    assert timeline.beat_at(200) == 7.0
    assert timeline.bar_start_frames(0, 500) == [0, 100, 250, 450]
    assert timeline.bpm_at(149) == 120.0
    assert timeline.bpm_at(150) == 60.0


def test_signature_change_on_a_bar_line_and_in_the_middle_of_a_bar() -> None:
    on_line = Timeline.start(120.0).with_tempo(200, beats_per_bar=3)
    assert on_line.bar_start_frames(0, 400) == [0, 100, 200, 275, 350]
    assert on_line.bar_position_at(275) == (3, 0.0)
    mid_bar = Timeline.start(120.0).with_tempo(150, beats_per_bar=3)
    assert mid_bar.bar_start_frames(0, 400) == [0, 100, 150, 225, 300, 375]
    assert mid_bar.bar_position_at(150) == (2, 0.0)


def test_signature_change_at_a_rounded_bar_start_keeps_bar_lines_on_whole_beats() -> None:
    for bar in (1, 2):  # exact lines at 97.56 (rounded up) and 195.12 (rounded down)
        before = Timeline.start(123.0)
        frame = before.bar_start_frame(bar)
        after = before.with_tempo(frame, beats_per_bar=3)
        assert after.bar_start_frame(bar) == frame
        assert after.frame_at(4.0 * bar + 3.0) == pytest.approx(97.5609756 * (bar + 0.75))
        expected = round(97.5609756 * (bar + 0.75))
        assert after.bar_start_frame(bar + 1) == expected


def test_later_changes_are_replaced_and_equal_ones_merged() -> None:
    timeline = Timeline.start(120.0).with_tempo(100, 90.0).with_tempo(200, 60.0)
    assert timeline.with_tempo(100, 120.0) == Timeline.start(120.0)
    assert len(timeline.with_tempo(50, 130.0).segments) == 2
    assert timeline.with_tempo(300) == timeline


@settings(max_examples=150, deadline=None)
@given(timeline=timelines(), frame=st.floats(-1e4, 1e6))
def test_frame_at_inverts_beat_at(timeline: Timeline, frame: float) -> None:
    assert timeline.frame_at(timeline.beat_at(frame)) == pytest.approx(frame, abs=1e-6)


@settings(max_examples=150, deadline=None)
@given(timeline=timelines(), beat=st.floats(-1e3, 1e5))
def test_beat_at_inverts_frame_at(timeline: Timeline, beat: float) -> None:
    assert timeline.beat_at(timeline.frame_at(beat)) == pytest.approx(beat, abs=1e-6)


@settings(max_examples=100, deadline=None)
@given(timeline=timelines())
def test_beats_are_continuous_and_grow(timeline: Timeline) -> None:
    for segment in timeline.segments:
        just_before = timeline.beat_at(segment.frame - 1e-6)
        assert 0 < timeline.beat_at(segment.frame) - just_before < 1e-5
    beats = [timeline.beat_at(frame) for frame in range(-50, 8000, 61)]
    assert beats == sorted(set(beats))


@settings(max_examples=100, deadline=None)
@given(timeline=timelines(), frame=st.integers(0, 30_000))
def test_a_new_segment_changes_nothing_before_it(timeline: Timeline, frame: int) -> None:
    changed = timeline.with_tempo(frame, 77.7)
    for at in (frame, max(0, frame - 1), max(0, frame - 500)):
        assert changed.beat_at(at) == timeline.beat_at(at)


@settings(max_examples=150, deadline=None)
@given(timeline=timelines(), frame=st.integers(-1000, 40_000))
def test_bar_starts_enclose_a_frame(timeline: Timeline, frame: int) -> None:
    last = timeline.last_bar_start_at_or_before(frame)
    following = timeline.next_bar_start_at_or_after(frame + 1)
    assert last <= frame < following
    assert timeline.bar_start_frames(last, following + 1) == [last, following]
    assert timeline.next_bar_start_at_or_after(last) == last


@settings(max_examples=100, deadline=None)
@given(timeline=timelines(same_signature=True), bar=st.integers(0, 300))
def test_bar_starts_are_the_frames_nearest_to_the_bar_beats(timeline: Timeline, bar: int) -> None:
    beats_per_bar = timeline.segments[0].beats_per_bar
    exact = timeline.frame_at(bar * beats_per_bar)
    assert abs(timeline.bar_start_frame(bar) - exact) <= 0.5 + 1e-6


@settings(max_examples=60, deadline=None)
@given(bpm=bpm_strategy, beats_per_bar=st.integers(1, 16))
def test_no_drift_over_a_day(bpm: float, beats_per_bar: int) -> None:
    timeline = Timeline.start(bpm, beats_per_bar)
    bar_frames = Fraction(60 * 50 * beats_per_bar) / Fraction(bpm)
    start = timeline.last_bar_start_at_or_before(DAY_FRAMES)
    bar = round(start / bar_frames)
    assert abs(start - bar * bar_frames) <= Fraction(1, 2)
    assert timeline.beat_at(DAY_FRAMES) == pytest.approx(bpm * 24 * 60, rel=1e-14)


def test_no_drift_over_a_day_of_tempo_changes() -> None:
    timeline = Timeline.start(123.4)
    expected_beats = Fraction(0)
    for minute in range(24 * 60):
        bpm = 60.0 + (minute * 7919 % 1000) / 10
        timeline = timeline.with_tempo(minute * 3000, bpm)
        expected_beats += Fraction(bpm)  # beats of one minute
        timeline = timeline.forget_before(minute * 3000)
    assert timeline.beat_at(DAY_FRAMES) == float(expected_beats)
    assert len(timeline.segments) == 1


@settings(max_examples=150, deadline=None)
@given(
    timeline=timelines(same_signature=True),
    frame=st.integers(0, 30_000),
    max_frames=st.integers(0, 1500),
)
def test_whole_bars_before(timeline: Timeline, frame: int, max_frames: int) -> None:
    start = timeline.whole_bars_before(frame, max_frames)
    assert 0 <= frame - start <= max_frames
    beats_per_bar = timeline.segments[0].beats_per_bar
    bars = (timeline.beat_at(frame) - timeline.beat_at(start)) / beats_per_bar
    fastest = max(segment.bpm for segment in timeline.segments)
    bars_per_frame = fastest / 60 / float(timeline.frame_rate_hz) / beats_per_bar
    assert abs(bars - round(bars)) <= 1.01 * bars_per_frame  # half a frame at each end
    one_more = timeline.frame_at(timeline.beat_at(start) - beats_per_bar)
    assert frame - one_more > max_frames - 2


@settings(max_examples=100, deadline=None)
@given(timeline=timelines(), bar=st.integers(0, 200), max_frames=st.integers(0, 1500))
def test_whole_bars_before_a_bar_start_begin_on_one(
    timeline: Timeline, bar: int, max_frames: int
) -> None:
    frame = timeline.bar_start_frame(bar)
    start = timeline.whole_bars_before(frame, max_frames)
    inside = timeline.bar_start_frames(frame - max_frames, frame) or [frame]
    assert start == min(inside)


def test_whole_bars_before_by_hand() -> None:
    timeline = Timeline.start(120.0)
    assert timeline.whole_bars_before(1000, 750) == 300
    assert timeline.whole_bars_before(1030, 750) == 330
    assert timeline.whole_bars_before(1000, 99) == 1000


@settings(max_examples=100, deadline=None)
@given(timeline=timelines(), frame=st.integers(-1000, 40_000))
def test_clock_phases_follow_the_bar_position(timeline: Timeline, frame: int) -> None:
    clock = timeline.clock_at(frame)
    _, beats = timeline.bar_position_at(frame)
    assert 0 <= clock.bar_phase < 1
    assert 0 <= clock.beat_phase < 1
    assert clock.bar_phase * clock.beats_per_bar == pytest.approx(beats, abs=1e-9)
    assert clock.beat_phase == pytest.approx(beats % 1, abs=1e-9)
    assert clock.bpm == timeline.bpm_at(frame)


@settings(max_examples=60, deadline=None)
@given(timeline=timelines(), frame=st.integers(0, 20_000))
def test_json_round_trip(timeline: Timeline, frame: int) -> None:
    for value in (timeline, timeline.forget_before(frame)):
        assert Timeline.from_json(json.loads(json.dumps(value.to_json()))) == value


def test_json_round_trip_after_a_replaced_signature() -> None:
    timeline = Timeline.start(120.0).with_tempo(130, beats_per_bar=3).with_tempo(130, 100.0, 4)
    assert Timeline.from_json(timeline.to_json()) == timeline


@settings(max_examples=60, deadline=None)
@given(timeline=timelines(), frame=st.integers(0, 20_000))
def test_forgetting_keeps_beats_and_bars(timeline: Timeline, frame: int) -> None:
    forgotten = timeline.forget_before(frame)
    for at in range(frame, frame + 6000, 517):
        assert forgotten.clock_at(at) == timeline.clock_at(at)
        assert forgotten.bar_position_at(at) == timeline.bar_position_at(at)


def test_start_at_another_frame_and_beat() -> None:
    timeline = Timeline.start(120.0, 4, frame=1000, beat=6)
    assert timeline.beat_at(1000) == 6.0
    assert timeline.bar_position_at(1000) == (1, 2.0)
    assert timeline.bar_start_frames(1000, 1200) == [1050, 1150]


@pytest.mark.parametrize("bpm", [19.9, 999.1, 0.0, -1.0, math.nan, math.inf, 1e9, True, "120"])
def test_tempo_out_of_range(bpm: float) -> None:
    with pytest.raises(ParameterError, match="20 to 999"):
        Timeline.start(bpm)
    with pytest.raises(ParameterError, match="20 to 999"):
        Timeline.start(120.0).with_tempo(10, bpm)


@pytest.mark.parametrize("beats_per_bar", [0, 17, 3.5, True])
def test_beats_per_bar_out_of_range(beats_per_bar: int) -> None:
    with pytest.raises(ParameterError, match="beats_per_bar"):
        Timeline.start(120.0, beats_per_bar)


def test_other_bad_values() -> None:
    with pytest.raises(ParameterError, match="before the timeline's first frame"):
        Timeline.start(120.0).with_tempo(-1, 100.0)
    with pytest.raises(ParameterError, match="finite"):
        Timeline.start(120.0).beat_at(math.nan)
    with pytest.raises(ParameterError, match="whole number"):
        Timeline.start(120.0).with_tempo(1.5, 100.0)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="frame_rate_hz"):
        Timeline.start(120.0, frame_rate_hz=0)


@pytest.mark.parametrize(
    "value", [{}, {"segments": []}, {"segments": [[0, 120.0]]}, {"segments": 3}]
)
def test_from_json_refuses_what_it_did_not_make(value: dict[str, object]) -> None:
    with pytest.raises(ParameterError, match="not a timeline"):
        Timeline.from_json(value)


def test_imports_neither_torch_nor_numpy() -> None:
    code = (
        "import sys, musicgen_rt.contract.timeline;"
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
