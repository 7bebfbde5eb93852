"""The whole way, from a performer's messages to the sound card: what no performance may have."""

from __future__ import annotations

from pathlib import Path

import pytest

from musicgen_rt.evaluate.stage import StageSettings, evaluate_stage
from musicgen_rt.evaluate.stage_recovery import RecoverySettings, evaluate_recovery
from musicgen_rt.evaluate.stage_script import ROUND, ROUND_SECONDS, cues
from musicgen_rt.evaluate.stage_siege import TRANSPORTS, SiegeSettings, evaluate_siege
from tests.bridge.jack_server import require_jack

# What a performance of half a minute, or one that a busy machine stretches, may be refused.
TOO_EARLY = ("too far", "not whole any more", "no loop is playing")


def no_progress(label: str, done: int, total: int) -> None:
    """Nobody watches."""


@pytest.mark.jack
@pytest.mark.timeout(300)
def test_a_performance_into_jack_is_whole(tmp_path: Path) -> None:
    require_jack()
    settings = StageSettings(tmp_path, minutes=0.4, baseline_seconds=1.0)
    report = evaluate_stage(settings, no_progress)
    print({name: report[name] for name in ("missed_periods", "fallbacks", "lead_ms", "sound")})
    sound = report["sound"]
    assert (sound["non_finite"], sound["over_ceiling"]) == (0, 0)
    assert (sound["clicks"], sound["holes"]) == ((), ())
    assert (report["underruns"], report["restarts"], report["exit_code"]) == (0, 0, 0)
    assert report["commands"] == len(ROUND)
    answered = report["answers"].get("/done", 0) + report["answers"].get("/fail", 0)
    assert answered >= len(ROUND), "every command is answered"
    unexpected = [one for one in report["refusals"] if not any(w in one for w in TOO_EARLY)]
    assert unexpected == []


@pytest.mark.jack
@pytest.mark.timeout(300)
def test_what_is_killed_comes_back(tmp_path: Path, tiny_frame_conditioned: Path) -> None:
    require_jack()
    settings = RecoverySettings(tmp_path, model=str(tiny_frame_conditioned), rounds=1)
    report = evaluate_recovery(settings, no_progress)
    print(report["rounds"])
    (life,) = report["rounds"]
    assert life["exit_code"] == 0
    # In their order; how long each takes is for a machine that has nothing else to do.
    assert 0 < life["status"] < life["first_sound"]
    for name in ("engine_killed", "engine_hung"):
        assert life[f"{name}_silence"] <= settings.period_frames / 48_000
        assert life[f"{name}_live"] > 0
    assert 0 < life["playout_killed_sound"] < 30
    assert 0 < life["server_killed_seen"] < 30
    assert 0 < life["server_back_sound"] < 30


@pytest.mark.timeout(300)
def test_a_siege_is_stood(tmp_path: Path, tiny_frame_conditioned: Path) -> None:
    model = str(tiny_frame_conditioned)
    settings = SiegeSettings(tmp_path, messages=600, packets=1500, seed=5, model=model)
    report = evaluate_siege(settings, no_progress)
    assert report["complaints"] == []
    assert report["seed"] == 5
    assert set(report["floods"]) == set(report["storms"]) == set(TRANSPORTS)
    assert all(report["panicked_ms"][one]["worst"] > 0 for one in TRANSPORTS)
    assert report["malformed"] > 100


def test_a_short_performance_has_all_cues_in_order() -> None:
    short, long = list(cues(24)), list(cues(5 * ROUND_SECONDS))
    assert [cue.name for cue in short] == [cue.name for cue in ROUND]
    assert max(cue.seconds for cue in short) < 24
    assert len(long) == 5 * len(ROUND)
    moments = [cue.seconds for cue in long]
    assert moments == sorted(moments)
    assert {"gen/undo", "gen/freeze", "bank/load", "transport/stop", "melody/note_on"} <= {
        cue.name for cue in ROUND
    }
