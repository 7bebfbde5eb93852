"""The gate: where the music ends, and how."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bridge.playout.gate import MAX_FADE_SECONDS, Gate

RATE_HZ = 32000
FADE = 640


def _gate(is_open: bool = True) -> Gate:
    return Gate.start(RATE_HZ, 0.02, is_open, 5000)


def _heard(gate: Gate, first: int, count: int, block: int = 160) -> NDArray[np.float32]:
    """What is left of ones, block by block as the chain reads it."""
    parts = []
    position = first
    for _ in range(0, count, block):
        played = gate.span(position, block)
        parts.append(np.concatenate([gate.gains(position, played), np.zeros(block - played)]))
        position += played
    return np.concatenate(parts)


def test_a_stop_at_a_sample_leaves_nothing_of_what_begins_there() -> None:
    gate = _gate().close(1000, 5000)
    heard = _heard(gate, 1000, 8000)
    assert (heard[: 4000 - FADE] == 1).all()
    assert (np.diff(heard[4000 - FADE : 4000]) < 0).all()
    assert heard[3999] < 1e-5
    assert (heard[4000:] == 0).all()
    assert not gate.is_standing(4999)
    assert gate.is_standing(5000)


def test_a_stop_at_once_lasts_one_fade() -> None:
    gate = _gate().close(1000, None)
    assert gate.stop_sample == 1000 + FADE
    heard = _heard(gate, 1000, 2000)
    assert np.abs(np.diff(heard)).max() < 0.01


@pytest.mark.parametrize("sample", [0, 1000, 1100])
def test_a_stop_that_comes_too_late_still_fades(sample: int) -> None:
    gate = _gate().close(1000, sample)
    assert gate.stop_sample == 1160
    assert np.abs(np.diff(_heard(gate, 1000, 1600))).max() < 0.02


def test_play_during_a_stop_turns_back_from_the_gain_that_is_heard() -> None:
    closing = _gate().close(1000, None)
    turned = closing.open(1320)
    assert turned.stop_sample is None
    heard = np.concatenate([closing.gains(1000, 320), turned.gains(1320, 640)])
    assert np.abs(np.diff(heard)).max() < 0.02
    assert heard[-1] == 1


def test_a_second_stop_during_a_fade_goes_on_from_there() -> None:
    closing = _gate().close(1000, None)
    again = closing.close(1320, 2000)
    heard = np.concatenate([closing.gains(1000, 320), again.gains(1320, 680)])
    assert np.abs(np.diff(heard)).max() < 0.02
    assert heard.max() <= 1
    assert heard[-1] < 1e-5


def test_a_stop_that_is_planned_during_a_play_lets_it_come_up_first() -> None:
    gate = _gate(is_open=False).open(5000).close(5010, 9000)
    heard = _heard(gate, 5000, 4000)
    assert heard[200] == 1
    assert heard[3900 - FADE] == 1
    assert heard[3999] < 1e-5


def test_a_closed_gate_opens_where_it_stands() -> None:
    gate = _gate(is_open=False)
    assert gate.is_standing(5000)
    assert gate.span(5000, 160) == 0
    opened = gate.open(5000)
    heard = _heard(opened, 5000, 320)
    assert heard[0] < 0.01
    assert heard[-1] == 1


def test_no_fade_is_longer_than_50_ms() -> None:
    assert Gate.start(RATE_HZ, 3.0, True, 0).fade_samples == MAX_FADE_SECONDS * RATE_HZ
