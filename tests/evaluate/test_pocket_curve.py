"""Curves of following, and requests."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen_rt.evaluate.pocket_bend import bent, joined, steady_grid
from musicgen_rt.evaluate.pocket_curve import Curve, share_curve
from musicgen_rt.evaluate.pocket_pieces import (
    REQUEST_FIRST_SEED,
    Take,
    held_out_takes,
    says_style_and_tempo,
)
from musicgen_rt.train.music import captions, generate_clip
from tests.evaluate.music import click_take, tune_take


def test_a_curve_that_follows_after_two_seconds() -> None:
    rows = [[False] * 4 + [True] * 16 for _ in range(5)]
    curve = share_curve(rows, [0.5 * step for step in range(20)])
    assert curve.settled == 1.0
    assert curve.followed_after_seconds == pytest.approx(2.0, abs=0.6)


def test_a_curve_that_follows_at_once_and_one_that_never_does() -> None:
    seconds = [float(step) for step in range(10)]
    assert Curve.of(seconds, [0.9] * 10).followed_after_seconds == 0.0
    assert Curve.of(seconds, [0.2] * 10).followed_after_seconds is None
    assert Curve.of([], []).followed_after_seconds is None


def test_one_late_slip_does_not_count() -> None:
    shares = [1.0] * 20
    shares[15] = 0.0
    assert Curve.of([float(step) for step in range(20)], shares).followed_after_seconds == 0.0


def test_takes_begin_on_a_bar_line_and_say_what_is_true() -> None:
    for take in held_out_takes(REQUEST_FIRST_SEED, 2, 6.0):
        clip = generate_clip(take.request.seed, 10.0)
        first = round(clip.truth.downbeats[0] * clip.rate_hz)
        assert np.array_equal(take.samples, clip.samples[first : first + 6 * clip.rate_hz])
        assert take.request.grid.edges_seconds[0] == pytest.approx(0.0)
        assert take.request.roles["drums"] == clip.truth.has_drums
        assert take.request.bpm == clip.truth.bpm
        texts = {
            caption.text
            for caption in captions(clip.truth, take.request.seed, 64, held_out=True)
            if says_style_and_tempo(caption)
        }
        assert take.request.prompt in texts


def test_a_bent_take_has_its_clicks_on_the_new_clock() -> None:
    take = bent(click_take(100.0), steady_grid(125.0, 4, 12.0), 8.0)
    energy = np.abs(take.samples).reshape(-1, 320).max(axis=1)
    begins = np.flatnonzero((energy[1:] > 0.2) & (energy[:-1] < 0.02)) + 1
    assert np.diff(begins) * 0.01 == pytest.approx(60.0 / 125.0, abs=0.011)


def test_joined_takes_carry_both_melodies() -> None:
    take = joined(tune_take((60, 62, 64, 65)), tune_take((72, 74)), 1.0)
    assert [note.pitch for note in take.request.melody] == [60, 62, 72, 74]
    assert take.request.melody[2].start_seconds == pytest.approx(1.0)
    assert take.seconds == pytest.approx(2.0)


def test_a_cut_moves_clock_and_melody() -> None:
    take: Take = tune_take((60, 62, 64, 65)).cut(0.5, 1.0)
    assert take.seconds == pytest.approx(1.0)
    assert take.request.melody[0].pitch == 62
    assert take.request.melody[0].start_seconds == pytest.approx(0.0)
    assert float(take.request.grid.beats(0.0)) == pytest.approx(1.0)
