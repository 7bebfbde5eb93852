"""Bars that are whole beats off are found, and moved by leaving beats out; all others are left."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.evaluate.beatlock_drums import RATE_HZ, DrumLoop
from musicgen_rt.live.bar_phase import HeardBeat, beats_to_skip
from musicgen_rt.live.beat_map import BeatMap
from tests.live.test_beat_follower import Line


def bars(strengths: list[float], count: int) -> list[HeardBeat]:
    return [HeardBeat(place, low) for _ in range(count) for place, low in enumerate(strengths)]


@pytest.mark.parametrize(
    ("strengths", "beats"),
    [
        ([8.0, 1.0, 2.0, 1.0], 0),
        ([1.0, 8.0, 1.0, 2.0], 1),
        ([1.0, 1.0, 8.0, 2.0], 2),
        ([1.0, 1.0, 2.0, 8.0], 3),
        ([1.0, 8.0, 1.0, 7.9], 1),  # of equals the nearest
        ([6.0, 8.0, 6.0, 8.0], 0),  # the first beat is hardly weaker
        ([8.0, 8.0, 8.0, 8.0], 0),
        ([0.0, 0.3, 0.0, 0.0], 0),  # nothing begins there
        ([1.0, 1.0, 8.0], 2),
    ],
)
def test_what_is_left_out(strengths: list[float], beats: int) -> None:
    assert beats_to_skip(bars(strengths, 4), len(strengths)) == beats


def test_a_few_bars_say_nothing_and_single_ones_are_outvoted() -> None:
    off = [1.0, 8.0, 1.0, 2.0]
    assert beats_to_skip(bars(off, 3), 4) == 0
    assert beats_to_skip(bars([8.0, 1.0, 1.0, 1.0], 5) + bars(off, 3), 4) == 0


@pytest.mark.parametrize("bpm", [96.0, 120.0])
def test_a_backbeat_that_begins_a_beat_late_is_moved_once(bpm: float) -> None:
    beat_seconds = 60 / bpm
    loop = DrumLoop(bpm=bpm, start_seconds=beat_seconds + 0.02, kit="rock")
    line = Line(Timeline.start(bpm), Timeline.start(bpm))
    line.push(loop.render(40.0))
    assert line.follower.beats_left_out == 1
    beats = loop.beat_times(38.0)
    (left_out,) = [one for one in line.follower.map.stretches if one.is_left_out]
    errors, places = [], []
    for number, seconds in enumerate(beats):
        sample = seconds * RATE_HZ
        if left_out.stream_end < sample < line.follower.map.stream_end:
            beat = line.grid.beat_at(line.follower.map.to_session(sample) / 640)
            errors.append(abs(beat - round(beat)) * beat_seconds * 1000)
            places.append((round(beat) - number) % 2)
    assert set(places) == {0}, "kicks lie on the first and third beats"
    assert np.median(errors) <= 15
    assert np.percentile(errors, 95) <= 40
    steps = np.abs(np.diff(line.out[0]))
    assert steps.max() < 1.5 * np.abs(np.diff(loop.render(10.0)[0])).max(), "no click"


@pytest.mark.parametrize(
    "loop",
    [
        DrumLoop(bpm=120.0, kit="rock", start_seconds=0.02),
        DrumLoop(bpm=120.0, kit="house", start_seconds=0.5),
        DrumLoop(bpm=120.0, kit="click", start_seconds=1.0),
    ],
)
def test_bars_that_are_right_or_cannot_be_told_are_left(loop: DrumLoop) -> None:
    line = Line(Timeline.start(120.0), Timeline.start(120.0))
    line.push(loop.render(30.0))
    assert line.follower.beats_left_out == 0


def test_without_time_to_make_more_nothing_is_left_out() -> None:
    loop = DrumLoop(bpm=120.0, start_seconds=0.52, kit="rock")
    line = Line(Timeline.start(120.0), Timeline.start(120.0))
    line.follower.spare_samples = 0.4 * RATE_HZ
    line.push(loop.render(30.0))
    assert line.follower.beats_left_out == 0


def test_places_on_both_sides_of_what_is_left_out() -> None:
    beats = BeatMap(0, 0).with_stretch(100, 100).with_stretch(40, 0).with_stretch(100, 100)
    assert [beats.to_session(sample) for sample in (99, 100, 120, 140, 150)] == [
        99,
        100,
        100,
        100,
        110,
    ]
    assert [beats.to_stream(sample) for sample in (99, 100, 110)] == [99, 140, 150]
    assert (beats.rate, beats.last_left_out) == (1.0, 140)
    assert beats.cut(120).stretches[-1].stream_end == 100
