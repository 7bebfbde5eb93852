"""Faults are found in music, and music alone has none."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from musicgen_rt.evaluate.stage_sound import clicks_of, faults_of, holes_of, joined
from musicgen_rt.train.music.clip import generate_clip

RATE_HZ = 32_000
PERIOD = 512


@pytest.fixture(scope="module")
def music() -> NDArray[np.float32]:
    """Six seconds with drums, at a level below the ceiling: [N, 1]."""
    samples = np.asarray(generate_clip(3, seconds=6.0).samples, np.float32).reshape(-1)
    return (0.8 * samples / np.abs(samples).max())[:, None]


def test_music_has_no_faults(music: NDArray[np.float32]) -> None:
    faults = faults_of(music, RATE_HZ, PERIOD)
    assert faults.complaints == []
    assert faults.seconds == pytest.approx(len(music) / RATE_HZ)
    assert faults.peak == pytest.approx(0.8)


def test_most_clicks_in_music_are_found(music: NDArray[np.float32]) -> None:
    rng = np.random.default_rng(5)
    found = 0
    for _ in range(40):
        at = int(rng.integers(8000, len(music) - 8000))
        spoilt = music[at - 4000 : at + 4000, 0].copy()
        spoilt[4000:] += 0.15 * rng.choice([-1, 1])  # a step, as a bad splice has
        found += any(abs(click - 4000) < 100 for click in clicks_of(spoilt, RATE_HZ))
    assert found >= 20


def test_a_sample_that_is_wrong_is_a_click(music: NDArray[np.float32]) -> None:
    tone = 0.3 * np.sin(np.arange(16_000) * 0.05)
    assert clicks_of(tone, RATE_HZ) == []
    tone[7000] += 0.2
    assert clicks_of(tone, RATE_HZ) == [7000]


def test_an_attack_is_no_click() -> None:
    burst = np.random.default_rng(1).normal(0, 0.3, 16_000)
    burst[:8000] = 0
    burst[8000:] *= np.exp(-np.arange(8000) / 2000)
    assert clicks_of(burst, RATE_HZ) == []


def test_holes_are_what_is_longer_than_a_period() -> None:
    magnitude = np.full(10_000, 0.1)
    magnitude[1000 : 1000 + PERIOD] = 0
    magnitude[4000 : 4000 + PERIOD + 1] = 0
    magnitude[9000:] = 0
    assert holes_of(magnitude, PERIOD) == [(4000, PERIOD + 1), (9000, 1000)]


def test_overs_and_nan_are_counted(music: NDArray[np.float32]) -> None:
    spoilt = music.copy()
    spoilt[100] = np.nan
    spoilt[200:203] = 0.95
    faults = joined([faults_of(spoilt, RATE_HZ, PERIOD), faults_of(music, RATE_HZ, PERIOD)])
    assert (faults.non_finite, faults.over_ceiling) == (1, 3)
    assert faults.seconds == pytest.approx(2 * len(music) / RATE_HZ)
    assert any("not finite" in one for one in faults.complaints)
