"""Codes by absolute frame, in diagonals, with bounded memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicgen_rt.errors import HistoryError
from musicgen_rt.live.token_store import UNKNOWN, TokenStore

SPECIAL = 64
DELAYS = (0, 1, 2, 3)


def code(codebook: int, frame: int) -> int:
    return (7 * frame + 13 * codebook) % SPECIAL


def diagonal(index: int, delays: tuple[int, ...] = DELAYS) -> np.ndarray:
    """The tokens that a model makes at one step."""
    return np.array([code(k, index - delay) for k, delay in enumerate(delays)])


def filled(diagonals: int, delays: tuple[int, ...] = DELAYS, keep: int = 20) -> TokenStore:
    store = TokenStore(delays, SPECIAL, keep)
    for index in range(diagonals):
        store.put(index, diagonal(index, delays))
    return store


def codes(first: int, end: int, num_codebooks: int = 4) -> np.ndarray:
    return np.array([[code(k, f) for f in range(first, end)] for k in range(num_codebooks)])


@pytest.mark.parametrize("delays", [DELAYS, (0, 0, 1, 1, 2, 2, 3, 3)])
def test_diagonals_become_frames(delays: tuple[int, ...]) -> None:
    store = filled(12, delays)
    assert (store.end_frame, store.complete_frames) == (12, 9)
    assert np.array_equal(store.frames(0, 9), codes(0, 9, len(delays)))
    assert store.frames(9, 12)[-1].tolist() == [UNKNOWN] * 3


@given(st.integers(1, 200), st.integers(5, 30))
@settings(deadline=None)
def test_memory_is_bounded_and_the_newest_frames_are_kept(diagonals: int, keep: int) -> None:
    store = filled(diagonals, keep=keep)
    assert store.first_frame <= max(0, diagonals - keep)
    assert diagonals - store.first_frame <= 2 * keep
    first, end = store.first_frame, max(store.first_frame, store.complete_frames)
    assert np.array_equal(store.frames(first, end), codes(first, end).reshape(4, -1))
    assert store._codes.shape == (4, 2 * keep)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 20))
@settings(deadline=None)
def test_truncating_is_as_if_it_had_never_been_made(made: int, back: int, given_: int) -> None:
    back = max(min(back, made), given_)
    one, two = TokenStore(DELAYS, SPECIAL, 100), TokenStore(DELAYS, SPECIAL, 100)
    for store, end in ((one, max(made, given_)), (two, back)):
        if given_:
            store.give(codes(0, given_))
        for index in range(given_, end):
            store.put(index, diagonal(index))
    one.truncate(back)
    assert one.end_frame == two.end_frame
    assert np.array_equal(one.frames(0, one.end_frame), two.frames(0, two.end_frame))
    assert one.complete_frames == two.complete_frames == two.complete_at(back)


def test_what_a_diagonal_must_hold() -> None:
    store = TokenStore(DELAYS, SPECIAL, 20)
    assert store.forced(0).tolist() == [UNKNOWN, SPECIAL, SPECIAL, SPECIAL]
    store.give(codes(0, 5))
    assert store.forced(4).tolist() == diagonal(4).tolist()
    assert store.forced(5).tolist() == [UNKNOWN, *diagonal(5)[1:]]
    assert store.forced(8).tolist() == [UNKNOWN] * 4


def test_columns_begin_with_the_special_token() -> None:
    store = filled(10)
    assert store.column(-1, 0).tolist() == [SPECIAL] * 4
    assert store.column(1, 0).tolist() == [*diagonal(1)[:2], SPECIAL, SPECIAL]
    assert store.column(7, 6).tolist() == [*diagonal(7)[:2], SPECIAL, SPECIAL]
    assert store.column(7, 0).tolist() == diagonal(7).tolist()


def test_a_continuation_longer_than_the_memory_is_kept_whole() -> None:
    store = TokenStore(DELAYS, SPECIAL, 10)
    store.give(codes(0, 100))
    assert (store.given_frames, store.complete_frames) == (100, 100)
    for index in range(100, 104):
        store.put(index, diagonal(index))
    assert np.array_equal(store.frames(0, 100), codes(0, 100))
    for index in range(104, 400):
        store.put(index, diagonal(index))
    assert np.array_equal(store.frames(390, 397), codes(390, 397))


def test_loading_what_was_stored() -> None:
    store, other = filled(90), TokenStore(DELAYS, SPECIAL, 20)
    kept = store.frames(store.first_frame, 90)
    other.load(store.first_frame, 0, 90, kept)
    for index in range(90, 130):
        for one in (store, other):
            one.put(index, diagonal(index))
    assert np.array_equal(store.frames(110, 130), other.frames(110, 130))
    assert np.array_equal(other.frames(110, 127), codes(110, 127))


def test_errors_name_what_is_kept() -> None:
    store = filled(100)
    with pytest.raises(HistoryError, match=f"{store.first_frame} to 100 are kept"):
        store.frames(0, 10)
    with pytest.raises(HistoryError, match="are kept"):
        store.frames(95, 101)
    with pytest.raises(HistoryError, match="new one"):
        store.give(codes(0, 3))
