"""What a missed period spoilt is left out of a recording, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen_rt.evaluate.jack_recording import JackRecording, Period

PERIOD = 512
RATE_HZ = 48_000


def recording(*periods: Period) -> JackRecording:
    """One that has heard these."""
    made = object.__new__(JackRecording)
    made.rate_hz, made.period_frames = RATE_HZ, PERIOD
    made._periods = list(periods)
    return made


def heard(count: int, *, gap_at: int = -1, xrun_at: int = -1) -> JackRecording:
    periods, frame, xruns = [], 1000, 0
    for n in range(count):
        frame += PERIOD * (n == gap_at)
        xruns += n == xrun_at
        samples = np.full((2, PERIOD), n + 1, np.float32)
        periods.append(Period(frame, samples, frame, frame / RATE_HZ, xruns))
        frame += PERIOD
    return recording(*periods)


def periods_of(made: JackRecording) -> list[list[int]]:
    """The numbers of the periods in each stretch."""
    stretches = made.stretches(shortest_frames=1)
    return [np.unique(one.samples).astype(int).tolist() for one in stretches]


def test_what_is_whole_is_one_stretch_behind_the_connecting() -> None:
    made = heard(40)
    assert periods_of(made) == [list(range(9, 41))]
    (stretch,) = made.stretches()
    assert stretch.frame == 1000 + 8 * PERIOD
    assert stretch.samples.shape == (32 * PERIOD, 2)
    assert made.missed == 0
    assert made.end_frame == 1000 + 40 * PERIOD


def test_a_gap_and_what_lies_beside_it_are_left_out() -> None:
    made = heard(40, gap_at=25)  # between periods 25 and 26
    assert periods_of(made) == [list(range(9, 23)), list(range(29, 41))]
    assert made.missed == 1
    second = made.stretches(shortest_frames=1)[1]
    assert second.frame == 1000 + 29 * PERIOD, "what is behind a gap keeps its place"


def test_an_xrun_is_told_late() -> None:
    first, second = periods_of(heard(120, xrun_at=100))
    assert first[-1] <= 101 - 0.3 * RATE_HZ / PERIOD
    assert second == list(range(104, 121))


def test_only_what_was_asked_for_counts() -> None:
    made = heard(40)
    assert periods_of(made)[0][0] == 9
    (stretch,) = made.stretches(first_frame=1000 + 20 * PERIOD)
    assert stretch.frame == 1000 + 20 * PERIOD
    assert made.stretches(shortest_frames=100 * PERIOD) == []


@pytest.mark.parametrize("count", [0, 1, 8, 9])
def test_nothing_heard_is_no_stretch(count: int) -> None:
    assert len(heard(count).stretches(shortest_frames=1)) == (count > 8)
