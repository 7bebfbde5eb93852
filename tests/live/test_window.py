"""When windows move on and what they keep."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.errors import ParameterError
from musicgen_rt.live.window import Window, WindowPlan

PLAN = WindowPlan(capacity_frames=300, context_frames=120)
tempi = st.lists(
    st.tuples(st.integers(0, 1500), st.floats(30, 300), st.sampled_from([None, 3, 4, 7])),
    min_size=1,
    max_size=6,
    unique_by=lambda tempo: tempo[0],
).map(sorted)


def with_tempo(timeline: Timeline | None, frame: int, bpm: float, beats: int | None) -> Timeline:
    if timeline is None:
        return Timeline.start(bpm, beats or 4, frame=frame)
    return timeline.with_tempo(frame, bpm, beats)


def windows_of(
    plan: WindowPlan, frames: int, timelines: dict[int, Timeline], remembered: range = range(0)
) -> list[Window]:
    """Windows as a stream opens them that hears of a timeline at the frames given."""
    timeline: Timeline | None = None
    windows = [Window(0, 0)]
    roll_at = plan.next_roll(windows[-1], None)
    for frame in range(frames):
        if frame in timelines:
            timeline = timelines[frame]
            roll_at = plan.next_roll(windows[-1], timeline)
        if frame >= roll_at:
            windows.append(plan.roll(frame, timeline, remembered))
            roll_at = plan.next_roll(windows[-1], timeline)
    return windows


def test_without_a_tempo_windows_roll_when_full() -> None:
    windows = windows_of(PLAN, 1000, {})
    assert [w.since for w in windows] == [0, 300, 480, 660, 840]
    assert [w.start for w in windows] == [0, 180, 360, 540, 720]


@given(tempi)
@settings(deadline=None, max_examples=60)
def test_it_does_not_matter_when_a_tempo_becomes_known(
    some: list[tuple[int, float, int | None]],
) -> None:
    timeline: Timeline | None = None
    live: dict[int, Timeline] = {}
    for frame, bpm, beats in some:
        timeline = live[frame] = with_tempo(timeline, frame, bpm, beats)
    assert timeline is not None
    assert windows_of(PLAN, 1600, {0: timeline}) == windows_of(PLAN, 1600, live)


@given(tempi)
@settings(deadline=None, max_examples=60)
def test_windows_always_fit_and_move_on(some: list[tuple[int, float, int | None]]) -> None:
    timeline: Timeline | None = None
    for frame, bpm, beats in some:
        timeline = with_tempo(timeline, frame, bpm, beats)
    assert timeline is not None
    windows = windows_of(PLAN, 1600, {0: timeline}, range(10, 60))
    ends = [window.since for window in windows[1:]] + [1600]
    for window, end in zip(windows, ends, strict=True):
        assert window.position_of(end - 1) < PLAN.capacity_frames
        assert window.start <= window.since < end
        assert window.since - window.start <= PLAN.context_frames
        assert window.memory_frames <= 50
    for one, two in itertools.pairwise(windows):
        assert two.start > one.start or two.since > one.since + PLAN.context_frames


@pytest.mark.parametrize(("bpm", "beats"), [(120.0, 4), (93.7, 3), (171.0, 5)])
def test_with_a_tempo_windows_roll_on_bars_and_keep_whole_bars(bpm: float, beats: int) -> None:
    timeline = Timeline.start(bpm, beats)
    windows = windows_of(PLAN, 3000, {0: timeline})
    assert len(windows) > 10
    bars = set(timeline.bar_start_frames(0, 3001))
    for window in windows:
        assert window.since in bars and window.start in bars
    longest_bar = 60 * 50 * beats / bpm + 1
    for window in windows[1:]:
        assert window.since - window.start > PLAN.context_frames - longest_bar


def test_a_bar_longer_than_the_context_is_cut() -> None:
    timeline = Timeline.start(20.0, 16)  # 2400 frames
    windows = windows_of(PLAN, 900, {0: timeline})
    assert [w.since for w in windows] == [0, 300, 480, 660, 840]


def test_memory_stands_in_front_and_shortens_the_window() -> None:
    windows = windows_of(PLAN, 500, {}, remembered=range(100))
    assert [w.memory_frames for w in windows] == [0, 100, 100, 100]
    assert [w.since for w in windows] == [0, 300, 380, 460]
    assert [w.start for w in windows] == [0, 180, 260, 340]


def test_memory_never_overlaps_the_context() -> None:
    assert PLAN.roll(300, None, range(150, 260)).memory_frames == 30
    assert PLAN.roll(300, None, range(180, 260)).memory_frames == 0
    assert PLAN.roll(300, None, range(90)).memory_frames == 90


@pytest.mark.parametrize(("capacity", "context"), [(300, 300), (300, 8), (20, 40)])
def test_plans_that_cannot_work_are_refused(capacity: int, context: int) -> None:
    with pytest.raises(ParameterError, match="16 frames or more"):
        WindowPlan(capacity, context)
