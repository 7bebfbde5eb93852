"""The measure of the beat lock: the judge finds errors that are set, and reports add up."""

from __future__ import annotations

import json

import numpy as np
import pytest

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.errors import ParameterError
from musicgen_rt.evaluate.beatlock import BeatlockSettings, evaluate_stand_in, table
from musicgen_rt.evaluate.beatlock_drums import RATE_HZ, DrumLoop
from musicgen_rt.evaluate.beatlock_judge import beat_errors
from musicgen_rt.evaluate.beatlock_takes import ramp, step

# librosa compiles itself: minutes on a busy machine.
pytestmark = pytest.mark.timeout(900)


@pytest.mark.parametrize("late_seconds", [0.0, 0.025, -0.04])
def test_the_judge_finds_how_late_drums_are(late_seconds: float) -> None:
    samples = DrumLoop(bpm=110.0, start_seconds=late_seconds).render(24.0)[0]
    errors = beat_errors(samples, RATE_HZ, Timeline.start(110.0))
    assert len(errors.late_ms) > 35
    assert np.median(errors.late_ms) == pytest.approx(1000 * late_seconds, abs=4.0)
    assert errors.figures()["is_within_bounds"] == (late_seconds == 0.0)


def test_silence_has_no_beats_and_is_not_within_bounds() -> None:
    errors = beat_errors(np.zeros(24 * RATE_HZ, np.float32), RATE_HZ, Timeline.start(110.0))
    assert errors.figures()["beats"] == 0
    assert errors.figures()["is_within_bounds"] is False


def test_the_report_tells_the_locked_from_the_unlocked() -> None:
    settings = BeatlockSettings(seconds=40.0, bpms=(128.0,), has_changes=False)
    report = evaluate_stand_in(settings, lambda label, done, total: None)
    locked, unlocked = report["takes"]
    assert locked["is_locked"]
    assert not unlocked["is_locked"]
    assert locked["median_ms"] <= 15 < unlocked["median_ms"]
    assert locked["lock"]["state"] == "locked"
    assert unlocked["lock"]["state"] == "off"
    json.dumps(report, allow_nan=False)
    assert len(table(report).splitlines()) == 4


def test_courses_change_tempo_when_they_say() -> None:
    timeline = step(120.0, 126.0, 10.0).timeline()
    assert (timeline.bpm_at(499), timeline.bpm_at(501)) == (120.0, 126.0)
    ramped = ramp(100.0, 140.0, 60.0).timeline()
    assert ramped.bpm_at(900) == 100.0
    assert ramped.bpm_at(1500) == pytest.approx(120.0, abs=1.5)
    assert ramped.bpm_at(2100) == 140.0


def test_a_length_that_tells_nothing_is_refused() -> None:
    with pytest.raises(ParameterError, match="expected 20 to 3600"):
        BeatlockSettings(seconds=3.0)
