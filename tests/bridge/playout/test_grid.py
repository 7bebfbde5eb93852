"""Beat lines in samples: in order, exactly placed, none lost."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.playout.grid import BeatLine, Grid
from musicgen_rt.contract.timeline import Timeline

HOP = 640
RATE_HZ = 32000


def _first(grid: Grid, count: int, sample: int = 0) -> list[BeatLine]:
    return list(islice(grid.beat_lines(sample), count))


def test_at_120_bpm_a_beat_is_half_a_second() -> None:
    grid = Grid(Timeline.start(120), HOP)
    assert _first(grid, 6) == [
        BeatLine(0, 0, 0),
        BeatLine(0, 1, 16000),
        BeatLine(0, 2, 32000),
        BeatLine(0, 3, 48000),
        BeatLine(1, 0, 64000),
        BeatLine(1, 1, 80000),
    ]
    assert grid.line_at_or_before(15999) == BeatLine(0, 0, 0)
    assert grid.line_at_or_before(16000) == BeatLine(0, 1, 16000)
    assert grid.bar_line_at_or_after(1).sample == 64000
    assert grid.bar_line_at_or_after(64000).sample == 64000


@given(
    bpm=st.one_of(st.floats(20, 400), st.sampled_from([90.0, 124.0, 133.0, 174.0])),
    beats_per_bar=st.integers(1, 7),
    first=st.integers(0, 10**9),
)
@settings(max_examples=40, deadline=None)
def test_every_beat_is_the_rounding_of_its_exact_place(
    bpm: float, beats_per_bar: int, first: int
) -> None:
    grid = Grid(Timeline.start(bpm, beats_per_bar), HOP)
    lines = _first(grid, 12, first)
    assert lines[0].sample >= first
    for line in lines:
        beat = line.bar * beats_per_bar + line.beat
        exact = Fraction(beat * 60 * RATE_HZ) / Fraction(bpm)
        assert abs(line.sample - exact) <= Fraction(501, 1000)
        assert grid.line_at_or_before(line.sample) == line
    for one, other in pairwise(lines):
        numbers = [line.bar * beats_per_bar + line.beat for line in (one, other)]
        assert numbers[1] == numbers[0] + 1
        assert one.sample < other.sample
        assert grid.line_after(one.sample) == other
        assert grid.line_at_or_before(other.sample - 1) == one


def test_a_line_between_two_samples_is_found_at_the_later_one_only() -> None:
    """At 125 bpm and 32,001 Hz beats lie on halves of samples."""
    grid = Grid(Timeline.start(120, frame_rate_hz=Fraction(32001, HOP)), HOP)
    lines = _first(grid, 5)
    assert [line.sample for line in lines] == [0, 16001, 32001, 48002, 64002]
    assert grid.line_at_or_before(16000) == lines[0]


@pytest.mark.parametrize("frame", [70, 75, 100, 130])
def test_a_new_signature_begins_a_bar(frame: int) -> None:
    """Also where that cuts a beat short."""
    timeline = Timeline.start(120).with_tempo(frame, beats_per_bar=3)
    lines = _first(Grid(timeline, HOP), 12)
    samples = [line.sample for line in lines]
    assert samples == sorted(set(samples))
    assert BeatLine(timeline.bar_position_at(frame)[0], 0, frame * HOP) in lines
    behind = [line for line in lines if line.sample >= frame * HOP]
    assert [line.beat for line in behind[:6]] == [0, 1, 2, 0, 1, 2]
    assert all(b.sample - a.sample == 16000 for a, b in pairwise(behind))


def test_a_new_tempo_moves_what_follows() -> None:
    grid = Grid(Timeline.start(120).with_tempo(100, 60), HOP)
    assert [line.sample for line in _first(grid, 7)] == [
        *range(0, 64000, 16000),
        64000,
        96000,
        128000,
    ]
