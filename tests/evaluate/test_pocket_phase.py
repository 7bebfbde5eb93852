"""The phase judge: clicks whose place is known to the sample, and the generator's own drums."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen_rt.evaluate.pocket_bend import bent, steady_grid
from musicgen_rt.evaluate.pocket_lag import lags_seconds
from musicgen_rt.evaluate.pocket_phase import (
    fine_lag_seconds,
    lateness_seconds,
    plain_late_seconds,
)
from musicgen_rt.evaluate.pocket_pieces import REQUEST_FIRST_SEED, Take, held_out_takes, is_steady
from musicgen_rt.train.music.beat_grid import BeatGrid
from musicgen_rt.train.music.plan import SongPlan
from tests.evaluate.music import click_take

# Onset strength peaks a little after an onset; how much is measured, not assumed.
_BIAS_SECONDS = 0.02


def _has_house_drums(plan: SongPlan) -> bool:
    return "drums" in plan.roles and plan.style.name == "house" and is_steady(plan)


@pytest.fixture(scope="module")
def drums() -> Take:
    """A steady take of the generator with drums, in four."""
    [take] = held_out_takes(REQUEST_FIRST_SEED, 1, 40.0, is_wanted=_has_house_drums)
    assert take.request.grid.beats_per_bar == 4
    return take


@pytest.mark.parametrize("bpm", [90.0, 128.0])
@pytest.mark.parametrize("late", [0.0, 0.06, -0.08])
def test_finds_how_late_clicks_are(bpm: float, late: float) -> None:
    on_time = plain_late_seconds(click_take(bpm))
    shifted = plain_late_seconds(click_take(bpm, late))
    assert on_time is not None and shifted is not None
    assert 0.0 <= on_time <= _BIAS_SECONDS
    assert shifted - on_time == pytest.approx(late, abs=0.006)


def test_says_nothing_about_silence() -> None:
    take = click_take(120.0)
    assert plain_late_seconds(Take(take.request, np.zeros_like(take.samples))) is None


def test_drums_are_on_their_own_beats_and_not_on_shifted_ones(drums: Take) -> None:
    take = drums.cut(0.0, 12.0)
    offset = plain_late_seconds(take)
    later = plain_late_seconds(drums.cut(0.0, 12.0).against(drums.cut(0.1, 12.0).request))
    assert offset is not None and later is not None
    assert abs(offset - _BIAS_SECONDS / 2) <= _BIAS_SECONDS
    assert abs(later - offset - 0.1) <= 0.01


def test_beats_half_a_beat_off_do_not_average_to_none() -> None:
    grid = BeatGrid(tuple(0.5 * beat for beat in range(41)), 4)
    jitter = np.array([0.01, -0.01] * 10)
    beats = 0.5 * np.arange(20) + 0.25 + jitter
    assert abs(lateness_seconds(beats, grid)) == pytest.approx(0.25, abs=0.011)


@pytest.mark.parametrize("late_beats", [0.0, 0.25, -0.5])
def test_the_exact_place_is_found_near_a_rough_one(late_beats: float) -> None:
    late = late_beats * 0.5
    rough = late_beats + 0.02
    found = fine_lag_seconds(click_take(120.0, late), rough)
    assert found == pytest.approx(late + _BIAS_SECONDS / 2, abs=_BIAS_SECONDS / 2)


def test_music_that_follows_a_new_tempo_has_no_lag(drums: Take) -> None:
    grid = _stepped_grid()
    lags = lags_seconds(bent(drums, grid, 26.0), change_beat=20)
    assert len(lags) > 20
    assert np.median(np.abs(lags)) <= 0.01
    assert np.mean(np.abs(lags) <= 0.05) >= 0.8


def test_music_that_stays_at_the_old_tempo_drifts_away(drums: Take) -> None:
    stays = bent(drums, steady_grid(120.0, 4, 30.0), 26.0)
    lags = lags_seconds(stays.against(bent(drums, _stepped_grid(), 26.0).request), change_beat=20)
    assert np.mean(np.abs(lags) <= 0.05) <= 0.4


def _stepped_grid() -> BeatGrid:
    """120 BPM for ten seconds, then 128."""
    slow = [0.5 * beat for beat in range(20)]
    fast = [10.0 + 60.0 / 128.0 * beat for beat in range(41)]
    return BeatGrid((*slow, *fast), 4)
