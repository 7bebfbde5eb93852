"""What a training set of these clips holds: every style, key and mode; half without drums."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from musicgen_rt.train.music import Clip
from musicgen_rt.train.music.plan import SongPlan, plan_song
from musicgen_rt.train.music.styles import STYLES

PLANS = 1500


@pytest.fixture(scope="module")
def plans() -> list[SongPlan]:
    return [plan_song(seed, 30.0) for seed in range(PLANS)]


def test_every_style_occurs_about_equally(plans: list[SongPlan]) -> None:
    counts = Counter(plan.style.name for plan in plans)
    assert set(counts) == set(STYLES)
    assert len(STYLES) >= 8
    assert min(counts.values()) > 0.6 * PLANS / len(STYLES)
    assert max(counts.values()) < 1.5 * PLANS / len(STYLES)


def test_every_key_and_mode_occurs(plans: list[SongPlan]) -> None:
    tonics = Counter(plan.key.tonic for plan in plans)
    assert set(tonics) == set(range(12))
    assert min(tonics.values()) > 0.6 * PLANS / 12
    modes = Counter(plan.key.mode for plan in plans)
    assert set(modes) == {"major", "minor", "dorian", "mixolydian", "phrygian"}
    assert min(modes.values()) > 0.04 * PLANS


def test_half_of_the_clips_have_no_drums(plans: list[SongPlan]) -> None:
    assert np.mean(["drums" not in plan.roles for plan in plans]) == pytest.approx(0.5, abs=0.04)
    for name in STYLES:
        of_style = ["drums" in plan.roles for plan in plans if plan.style.name == name]
        assert 0.2 < np.mean(of_style) < 0.75, name


def test_solos_and_pairs_occur(plans: list[SongPlan]) -> None:
    layouts = Counter(plan.roles for plan in plans)
    for roles in ({"drums"}, {"lead"}, {"pad", "lead"}, {"pad"}, {"keys"}, {"bass"}):
        assert layouts[frozenset(roles)] > 0.01 * PLANS, roles


def test_tempos_meters_and_swing(plans: list[SongPlan]) -> None:
    bpm = np.array([plan.nominal_bpm for plan in plans])
    assert 60.0 <= bpm.min() < 66.0
    assert 174.0 < bpm.max() <= 180.0
    for plan in plans:
        low, high = plan.style.bpm
        assert low - 0.5 <= plan.nominal_bpm <= high + 0.5
    threes = np.mean([plan.beats_per_bar == 3 for plan in plans])
    assert 0.05 < threes < 0.2
    swung = np.mean([plan.swing > 0.5 for plan in plans])
    assert 0.25 < swung < 0.7


def test_one_clip_in_ten_changes_tempo(plans: list[SongPlan]) -> None:
    changing = [np.ptp(np.diff(plan.grid.edges_seconds)) > 1e-3 for plan in plans]
    assert np.mean(changing) == pytest.approx(0.1, abs=0.03)


def test_clips_begin_anywhere_in_a_bar(plans: list[SongPlan]) -> None:
    phases = np.array([float(plan.grid.beats(0.0)) / plan.beats_per_bar for plan in plans])
    assert np.mean(phases < 1e-6) == pytest.approx(0.3, abs=0.05)
    counts, _ = np.histogram(phases[phases > 1e-6], bins=8, range=(0.0, 1.0))
    assert counts.min() > 0.6 * counts.mean()


def test_moods_lean_to_their_modes(plans: list[SongPlan]) -> None:
    bright = [p.key.mode in ("major", "mixolydian") for p in plans if p.mood.brightness > 0.6]
    dark = [p.key.mode in ("major", "mixolydian") for p in plans if p.mood.brightness < -0.6]
    assert np.mean(bright) > 0.55
    assert np.mean(dark) < 0.25


def test_short_clips_are_a_fair_sample(short_clips: list[Clip]) -> None:
    assert {clip.truth.style for clip in short_clips} == set(STYLES)
    assert len({clip.truth.key for clip in short_clips}) >= 11
    assert 0.35 < np.mean([clip.truth.has_drums for clip in short_clips]) < 0.65
    sounds = {sound for clip in short_clips for sound in clip.truth.instruments.values()}
    assert len(sounds) > 25
