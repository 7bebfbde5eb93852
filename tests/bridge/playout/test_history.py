"""The history against a dictionary."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.playout.history import History, Stretch

CAPACITY = 50


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 70)), max_size=8))
@settings(max_examples=60, deadline=None)
def test_it_keeps_the_latest_samples_and_gives_zeros_for_the_rest(
    appends: list[tuple[int, int]],
) -> None:
    history = History(2, CAPACITY)
    truth: dict[int, int] = {}
    end = 0
    for gap, count in appends:
        first = end + gap
        positions = np.arange(first, first + count)
        history.append(first, np.stack([positions + 1, -positions - 1]).astype(np.float32))
        truth |= {int(position): int(position) + 1 for position in positions}
        end = first + count if count else end
    truth = {position: value for position, value in truth.items() if position >= end - CAPACITY}
    span = range(max(0, end - CAPACITY - 20), end + 20)
    expected = [truth.get(position, 0) for position in span]
    read = history.read(span.start, len(span))
    np.testing.assert_array_equal(read, [expected, [-value for value in expected]])
    kept = {p for stretch in history.stretches for p in range(stretch.start, stretch.end)}
    assert kept == set(truth)
    for position in span:
        assert history.holds(position, position + 1) == (position in truth)


def test_what_follows_on_joins_its_stretch() -> None:
    history = History(1, CAPACITY)
    for first in (0, 10, 25):
        history.append(first, np.ones((1, 10), np.float32))
    assert history.stretches == (Stretch(0, 20), Stretch(25, 35))
    assert history.holds(5, 20)
    assert not history.holds(5, 26)
