"""The learned judges on the generator's music: right requests score high, wrong ones low."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from musicgen_rt.evaluate.pocket_bars import beats_of
from musicgen_rt.evaluate.pocket_bend import bent, steady_grid
from musicgen_rt.evaluate.pocket_hearing import listen
from musicgen_rt.evaluate.pocket_judges import Judges, make_lessons
from musicgen_rt.evaluate.pocket_pieces import (
    REQUEST_FIRST_SEED,
    Take,
    held_out_takes,
    is_steady,
    moved,
)
from musicgen_rt.evaluate.pocket_tempo import TempoJudge, is_within, is_within_any_level
from musicgen_rt.evaluate.pocket_verdict import Verdict, figures_of, verdict_of
from musicgen_rt.train.music.plan import SongPlan
from tests.evaluate.music import click_take

# Judges are taught and music is played first: minutes on a busy machine.
pytestmark = pytest.mark.timeout(900)

_TAKES = 6


def _is_steady_four(plan: SongPlan) -> bool:
    return plan.beats_per_bar == 4 and is_steady(plan)


@pytest.fixture(scope="module")
def drummed() -> list[Take]:
    """Held-out takes with drums, in four."""
    takes = held_out_takes(
        REQUEST_FIRST_SEED,
        _TAKES,
        12.0,
        is_wanted=lambda plan: "drums" in plan.roles and _is_steady_four(plan),
    )
    return list(takes)


@pytest.fixture(scope="module")
def drumless() -> list[Take]:
    """Held-out takes without drums, in four."""
    takes = held_out_takes(
        REQUEST_FIRST_SEED,
        _TAKES,
        12.0,
        is_wanted=lambda plan: "drums" not in plan.roles and _is_steady_four(plan),
    )
    return list(takes)


@pytest.fixture(scope="module")
def verdicts(judges: Judges, drummed: list[Take], drumless: list[Take]) -> list[Verdict]:
    """What the judges say of all of them."""
    return [verdict_of(judges, take) for take in (*drummed, *drumless)]


def test_true_music_scores_high(verdicts: list[Verdict]) -> None:
    drums = figures_of(verdicts[:_TAKES])
    assert drums["tempo_within_2_percent"] >= 0.6  # type: ignore[operator]
    assert drums["downbeat_on_bar"] >= 0.6  # type: ignore[operator]
    assert drums["phase_median_ms"] <= 20  # type: ignore[operator]
    whole = figures_of(verdicts)
    assert whole["drums_on"] >= 0.85  # type: ignore[operator]
    assert whole["drums_off"] >= 0.8  # type: ignore[operator]


def test_music_at_another_speed_scores_low(judges: Judges, drummed: list[Take]) -> None:
    fast = [bent(take, steady_grid(1.07 * take.request.bpm, 4, 11.0), 11.0) for take in drummed]
    wrong = [
        verdict_of(judges, take.against(true.request))
        for take, true in zip(fast, drummed, strict=True)
    ]
    figures = figures_of(wrong)
    assert figures["tempo_within_2_percent"] <= 0.15  # type: ignore[operator]
    assert figures["phase_median_ms"] >= 40  # type: ignore[operator]


def test_late_beats_are_as_late_as_they_are(judges: Judges, drummed: list[Take]) -> None:
    moves = (-0.11, 0.03, 0.2)
    found = []
    for take in drummed[:4]:
        for late in moves:
            request = moved(take.request, -late)
            asked = take.against(request)
            # The same music against a clock that is so much earlier.
            found.append(_lateness(judges, asked) == pytest.approx(late, abs=0.015))
    assert sum(found) >= 8


def _lateness(judges: Judges, take: Take) -> float:
    late = judges.phase.late_seconds(take, listen(take))
    return np.inf if late is None else late


def test_bars_begun_on_another_beat_score_low(judges: Judges, drummed: list[Take]) -> None:
    shifts = []
    for take in drummed:
        beat = 60.0 / take.request.bpm
        later = take.cut(beat, take.seconds - beat)
        # The same clock, but beat 0 of the request is now the second of the bar.
        grid = replace(later.request.grid, edges_seconds=later.request.grid.edges_seconds[1:])
        shifts.append(judges.bars.shift(beats_of(listen(later), grid), 4))
    assert sum(shift == 0 for shift in shifts) <= 2
    assert sum(shift == 3 for shift in shifts) >= 4


def test_bars_of_four_are_not_bars_of_three(judges: Judges, drummed: list[Take]) -> None:
    told = []
    for take in drummed:
        beats = beats_of(listen(take), take.request.grid)
        four, three = judges.bars.evidence(beats, 4), judges.bars.evidence(beats, 3)
        assert four is not None and three is not None
        told.append(four[0] > three.max())
    assert sum(told) >= 4


def test_no_bar_no_evidence(judges: Judges) -> None:
    short = click_take(60.0, seconds=2.0)
    beats = beats_of(listen(short), short.request.grid)
    assert judges.bars.shift(beats, 4) is None
    assert judges.bars.evidence(beats, 3) is None


def test_lessons_and_what_is_learned_are_deterministic(drummed: list[Take]) -> None:
    first, second = (make_lessons(2, None, lambda label, done, total: None) for _ in range(2))
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)
    guesses = []
    for lessons in (first, second):
        judge = TempoJudge(0)
        judge.fit(lessons["tempo"].astype(np.float64), lessons["tempo_right"] > 0)
        guesses.append(judge.guess(drummed[0], listen(drummed[0])))
    assert guesses[0] == guesses[1]


@pytest.mark.parametrize(
    ("bpm", "asked", "exact", "any_level"),
    [(119.0, 120.0, True, True), (60.0, 120.0, False, True), (80.0, 120.0, False, True),
     (110.0, 120.0, False, False)],
)  # fmt: skip
def test_octaves_are_wrong_but_named(
    bpm: float, asked: float, exact: bool, any_level: bool
) -> None:
    assert is_within(bpm, asked, 0.02) is exact
    assert is_within_any_level(bpm, asked, 0.02) is any_level
