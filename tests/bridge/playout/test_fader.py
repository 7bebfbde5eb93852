"""Gain and mute at their sample."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bridge.playout.fader import MAX_PENDING, Fader, TooManyChangesError, to_gain

RATE_HZ = 32000


def _run(fader: Fader, first: int, count: int) -> tuple[NDArray[np.float32], list[int]]:
    gains, begun = [], []
    for position in range(first, first + count, 160):
        block, ids = fader.gains(position, 160)
        gains.append(block)
        begun += ids
    return np.concatenate(gains), begun


def test_a_gain_goes_over_during_its_ramp_from_its_sample_on() -> None:
    fader = Fader(RATE_HZ)
    fader.set_gain(7, -6.0, 1000, 0.1)
    gains, begun = _run(fader, 0, 6400)
    assert begun == [7]
    assert (gains[:1000] == 1).all()
    assert gains[1000 + 3200 :] == pytest.approx(10 ** (-6 / 20))
    assert gains[1000 + 1600] == pytest.approx((1 + 10 ** (-6 / 20)) / 2, abs=1e-3)
    assert (np.diff(gains) <= 0).all()


def test_a_mute_is_silence_and_comes_back() -> None:
    fader = Fader(RATE_HZ, gain_db=-20.0)
    fader.set_mute(1, True, None)
    fader.set_mute(2, False, 4000)
    gains, begun = _run(fader, 0, 6400)
    assert begun == [1, 2]
    assert (gains[320:4000] == 0).all()
    assert gains[-1] == pytest.approx(0.1)
    assert np.abs(np.diff(gains)).max() < 0.01


def test_changes_take_effect_in_the_order_of_their_samples() -> None:
    fader = Fader(RATE_HZ)
    fader.set_gain(1, -12.0, 3000, 0.0)
    fader.set_gain(2, -6.0, 1000, 0.0)
    fader.set_gain(3, 0.0, 5000, 0.0)
    gains, begun = _run(fader, 0, 8000)
    assert begun == [2, 1, 3]
    assert gains[2900] == pytest.approx(to_gain(-6))
    assert gains[4900] == pytest.approx(to_gain(-12))
    assert gains[-1] == 1


def test_a_late_change_takes_effect_at_once() -> None:
    fader = Fader(RATE_HZ)
    fader.set_gain(1, -12.0, 10, 0.0)
    gains, begun = _run(fader, 16000, 640)
    assert begun == [1]
    assert gains[-1] == pytest.approx(to_gain(-12))


def test_a_change_in_the_middle_of_a_ramp_makes_no_step() -> None:
    fader = Fader(RATE_HZ)
    fader.set_gain(1, -60.0, 0, 0.1)
    fader.set_gain(2, 6.0, 1600, 0.1)
    gains, _ = _run(fader, 0, 8000)
    assert np.abs(np.diff(gains)).max() < 0.002


def test_too_many_changes_are_refused() -> None:
    fader = Fader(RATE_HZ)
    for id in range(MAX_PENDING):
        fader.set_gain(id, 0.0, 10_000, 0.0)
    with pytest.raises(TooManyChangesError, match=str(MAX_PENDING)):
        fader.set_gain(99, 0.0, 10_000, 0.0)


@pytest.mark.parametrize(
    ("db", "gain"), [(0, 1), (-20, 0.1), (-96, 0), (-1000, 0), (100, 3.981072)]
)
def test_decibels(db: float, gain: float) -> None:
    assert to_gain(db) == pytest.approx(gain)
