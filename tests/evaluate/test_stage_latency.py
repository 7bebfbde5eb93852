"""What the trials say, as a report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from musicgen_rt.evaluate.latency_bench import Bench, TrialResult
from musicgen_rt.evaluate.stage_latency import (
    KNOB,
    LatencySettings,
    Trials,
    count_trial,
    report_of,
    run_trials,
)

FACTS = {"device_ms": 10.0, "underruns": 0}


def trials_of(heard_ms: list[float]) -> Trials:
    trials = Trials(muted_ms=[60.0, 70.0, 80.0], controls=3)
    for one in heard_ms:
        count_trial(trials, KNOB, TrialResult(one, answered_ms=5.0))
    return trials


def test_the_median_is_divided_and_the_target_compared(tmp_path: Path) -> None:
    trials = trials_of([100.0 + n for n in range(101)])
    count_trial(trials, "drums off", TrialResult(900.0, 5.0))
    report = report_of(LatencySettings(tmp_path, trials=101), trials, FACTS)
    assert report["complaints"] == []
    assert report["knob_to_ear_ms"] == {"p50": 150.0, "p95": 195.0, "max": 200.0}
    assert report["of_it_ms"] == {"device": 10.0, "horizon": 60.0, "compute": 80.0}
    assert report["by_kind_ms"]["drums off"]["p50"] == 900.0


@pytest.mark.parametrize(
    ("heard_ms", "underruns", "false_alarms", "complaint"),
    [
        ([400.0] * 100, 0, 0, "p95 is 400 ms"),
        ([100.0] * 20, 0, 0, "only 20 of 100 trials could be judged"),
        ([100.0] * 100, 3, 0, "3 underruns"),
        ([100.0] * 100, 0, 2, "2 changes that nobody asked for"),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, heard_ms: list[float], underruns: int, false_alarms: int, complaint: str
) -> None:
    trials = trials_of(heard_ms)
    trials.false_alarms = false_alarms
    facts = {**FACTS, "underruns": underruns}
    assert complaint in report_of(LatencySettings(tmp_path), trials, facts)["complaints"]


def test_trials_without_a_verdict_are_counted_apart() -> None:
    trials = trials_of([])
    for result in (TrialResult(is_spoilt=True), TrialResult(None, 4.0), TrialResult(-20.0, 4.0)):
        count_trial(trials, KNOB, result)
    assert (trials.spoilt, trials.unheard[KNOB], trials.knob_ms) == (1, 2, [])
    assert trials.answered_ms == [4.0, 4.0]


class Heard(Bench):
    """A bench that only notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[Any, ...] | None, tuple[Any, ...] | None]] = []

    def trial(
        self,
        command: tuple[Any, ...] | None,
        after_seconds: float,
        undone_by: tuple[Any, ...] | None = None,
    ) -> TrialResult:
        self.asked.append((command, undone_by))
        return TrialResult(100.0, 5.0)

    def mute(self) -> float:
        return 60.0


def test_a_key_that_was_struck_is_let_go_of(tmp_path: Path) -> None:
    """A bank brings back what was played, not the hands that play: the key would stay down."""
    bench = Heard()
    run_trials(bench, LatencySettings(tmp_path, trials=11), lambda *_: None)
    struck = [(key, undone) for key, undone in bench.asked if key and key[0] == "melody/note_on"]
    assert len(struck) == 3
    assert all(undone == ("melody/note_off", pitch) for (_, pitch, _), undone in struck)
    assert bench.asked.count((None, None)) == 2
