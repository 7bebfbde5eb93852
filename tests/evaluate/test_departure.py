"""The place where a recording leaves the music that it began with is found, and only that."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen_rt.evaluate.departure import (
    MIN_LIKENESS,
    Signal,
    departure,
    low_passed,
    placed,
)
from musicgen_rt.train.music.clip import generate_clip

RATE_HZ = 48_000


@pytest.fixture(scope="module")
def pieces() -> tuple[Signal, Signal]:
    """Two pieces of four seconds."""
    one, other = (generate_clip(seed, 4.0, RATE_HZ).samples for seed in (1, 2))
    return np.asarray(one, np.float64), np.asarray(other, np.float64)


@pytest.mark.parametrize("change_seconds", [0.3, 1.0, 1.7, 3.1])
def test_other_music_is_noticed_within_the_window(
    pieces: tuple[Signal, Signal], change_seconds: float
) -> None:
    known, other = pieces
    at = round(change_seconds * RATE_HZ)
    heard = np.concatenate([known[:at], other[at:]])
    found = departure(low_passed(known, RATE_HZ), low_passed(heard, RATE_HZ), RATE_HZ)
    assert found is not None
    # Never before it, and not later than what is left of the window and some quiet.
    assert 0 <= found - at <= 0.05 * RATE_HZ


def test_the_same_music_is_never_left(pieces: tuple[Signal, Signal]) -> None:
    known, _ = pieces
    late = np.interp(np.arange(len(known)) + 0.4, np.arange(len(known)), known)
    noisy = 0.97 * late + np.random.default_rng(1).normal(0, 1e-4, len(known))
    noisy[RATE_HZ] += 0.3  # a click of the sound card
    same, heard = low_passed(known, RATE_HZ), low_passed(noisy, RATE_HZ)
    assert departure(same, heard, RATE_HZ) is None


def test_the_beginning_is_found_where_it_is_and_nowhere_else(
    pieces: tuple[Signal, Signal],
) -> None:
    known, other = pieces
    template = known[4800:24_000]
    at, likeness = placed(template, np.concatenate([other[:7000], known[:48_000]]))
    assert at == 7000 + 4800
    assert likeness == pytest.approx(1.0)
    assert placed(template, other)[1] < MIN_LIKENESS
