"""What comes back too late is complained of, and by how much."""

from __future__ import annotations

from dataclasses import replace

import pytest

from musicgen_rt.evaluate.stage_recovery import TARGETS, Round, complaints_of

PERIOD_SECONDS = 0.01
GOOD = Round(
    status=0.5,
    first_sound=3.0,
    engine_killed_silence=0.0,
    engine_killed_live=4.0,
    engine_hung_silence=PERIOD_SECONDS,
    engine_hung_live=8.0,
    playout_killed_sound=0.8,
    server_killed_seen=0.2,
    server_back_sound=0.9,
    end=0.3,
    exit_code=0,
)


def test_what_comes_back_in_time_is_not_complained_of() -> None:
    assert complaints_of([GOOD, GOOD], PERIOD_SECONDS) == []


@pytest.mark.parametrize("name", TARGETS)
def test_the_worst_round_counts(name: str) -> None:
    late = replace(GOOD, **{name: TARGETS[name] + 2 * PERIOD_SECONDS})  # type: ignore[arg-type]
    (complaint,) = complaints_of([GOOD, late, GOOD], PERIOD_SECONDS)
    assert complaint.startswith(f"{name} was ")


def test_a_signal_that_ended_it_is_no_good_exit_code() -> None:
    (complaint,) = complaints_of([replace(GOOD, exit_code=-9)], PERIOD_SECONDS)
    assert complaint == "exit_code was -9.00, at most 0.00 wanted"
