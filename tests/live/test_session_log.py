"""A log makes the session again, token by token, from nothing but JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from musicgen_rt.errors import CheckpointError, HistoryError
from musicgen_rt.live import token_stream
from musicgen_rt.live.engine import Engine
from musicgen_rt.live.melody import melody_from_notes
from musicgen_rt.model.musicgen import MusicGen
from musicgen_rt.model.notes import Note
from tests.live.conftest import EngineMaker

TUNE = melody_from_notes([Note(60, 0.0, 0.5), Note(67, 0.5, 0.9)], loop_seconds=1.0)


def play(engine: Engine, end: int, chunk: int = 20) -> None:
    while engine.next_frame < end:
        engine.step(min(chunk, end - engine.next_frame))


def as_file(log: dict[str, Any]) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(json.dumps(log))
    return read


@pytest.mark.parametrize("name", ["text", "melody", "frame"])
def test_replay(name: str, engine_of: EngineMaker) -> None:
    engine = engine_of(name)
    engine.set_parameter("seed", 2**62)
    engine.set_prompt("déjà vu, 124 bpm")
    if name != "text":
        engine.set_melody(TUNE)
    play(engine, 40)
    engine.set_tempo(124.0)
    engine.set_weight(0, 0.1, ramp_frames=50)
    engine.set_memory(3, 22)
    play(engine, 85, chunk=7)
    engine.set_prompt("a mistake", 2)
    play(engine, 95)
    engine.clear_prompt(2, at_frame=85)
    engine.set_negative_prompt("hum", at_frame=70)
    play(engine, 120)
    log = engine.log()
    again = Engine.replay(engine.model, as_file(log))
    assert again.options == engine.options
    play(again, log["frames"], chunk=50)
    assert np.array_equal(again.codes(0, 117), engine.codes(0, 117))
    assert again.log() == log


def test_a_continuation(engine_of: EngineMaker) -> None:
    engine = engine_of("text")
    engine.continue_codes(np.random.default_rng(0).integers(0, 64, (4, 30)))
    play(engine, 90)
    again = Engine.replay(engine.model, as_file(engine.log()))
    assert again.next_frame == 30
    play(again, 90)
    assert np.array_equal(again.codes(0, 87), engine.codes(0, 87))


def test_too_many_changes_end_the_log_but_not_the_music(
    engine_of: EngineMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_stream, "_MAX_CHANGES", 20)
    monkeypatch.setattr(token_stream, "_MAX_TEMPI", 5)
    made = []
    for is_planned in (True, False):
        engine = engine_of("text")
        frames = range(0, 520, 20)
        for frame in frames if is_planned else ():
            engine.set_prompt("house", weight=frame // 20 % 3 / 2, ramp_frames=47, at_frame=frame)
            engine.set_tempo(100 + frame % 50, at_frame=frame)
        for frame in frames:
            if not is_planned:
                engine.set_prompt("house", weight=frame // 20 % 3 / 2, ramp_frames=47)
                engine.set_tempo(100 + frame % 50)
            engine.step(20)
        made.append(engine.codes(400, 515))
    assert np.array_equal(made[0], made[1])
    assert engine.session.stream.score.num_changes < 50
    assert engine.timeline is not None and len(engine.timeline.segments) < 25
    with pytest.raises(HistoryError, match="too many"):
        engine.log()


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"format": None}, "not a session"),
        ({"options": {"window_seconds": -1}}, "1 to 600"),
        ({"options": {"speed": 1}}, "damaged"),
        ({"given": [[1, 2, 3]]}, "damaged"),
        ({"given": [[99], [0], [0], [0]]}, "0 to 63"),
        ({"score": {"tracks": {"prompt/0": {"before": "", "changes": []}}}}, "1 to 2000"),
        ({"score": {"tracks": {"seed": {"before": 0, "changes": [[-1, 3, 0]]}}}}, "0 to"),
        ({"score": {"tracks": {"melody": {"before": 7, "changes": []}}}}, "melody"),
    ],
)
def test_damaged_logs(changed: dict[str, Any], reason: str, engine_of: EngineMaker) -> None:
    engine = engine_of("text")
    with pytest.raises(CheckpointError, match=reason):
        Engine.replay(engine.model, as_file(engine.log()) | changed)


def test_another_model(engine_of: EngineMaker, models: dict[str, MusicGen]) -> None:
    with pytest.raises(CheckpointError, match="kind is text, expected melody"):
        Engine.replay(models["melody"], engine_of("text").log())
