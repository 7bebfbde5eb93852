"""Wrong controls: an error that names the range, and an engine that has not changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from musicgen_rt.errors import (
    HistoryError,
    MusicgenRTError,
    ParameterError,
    PromptError,
    UnsupportedError,
)
from musicgen_rt.live.build import EngineOptions
from musicgen_rt.live.engine import Engine
from musicgen_rt.live.melody import melody_from_notes
from musicgen_rt.live.score_json import score_to_json
from musicgen_rt.model.musicgen import MusicGen
from musicgen_rt.model.notes import Note
from tests.live.conftest import SHORT, EngineMaker

NAN = float("nan")
TUNE = melody_from_notes([Note(60, 0.0, 1.0)])
Wrong = Callable[[Any], Any]
SILENCE = np.zeros((1, 32000), dtype=np.float32)

WRONG: list[tuple[str, type[MusicgenRTError], str, Wrong]] = [
    ("empty prompt", PromptError, "1 to 2000", lambda e: e.set_prompt("")),
    ("blank prompt", PromptError, "1 to 2000", lambda e: e.set_prompt(" \t")),
    ("huge prompt", PromptError, "at most 2000", lambda e: e.set_prompt("a" * 1_000_000)),
    ("long prompt", PromptError, "at most 64 fit", lambda e: e.set_prompt("word " * 30)),
    ("control character", PromptError, "U\\+0007", lambda e: e.set_prompt("a\x07")),
    ("prompt of bytes", PromptError, "expected text", lambda e: e.set_prompt(b"a")),
    ("negative prompt", PromptError, "1 to 2000", lambda e: e.set_negative_prompt("")),
    ("negative bytes", PromptError, "expected text", lambda e: e.set_negative_prompt(3)),
    ("slot 8", ParameterError, "0 to 7", lambda e: e.set_prompt("a", 8)),
    ("slot -1", ParameterError, "0 to 7", lambda e: e.clear_prompt(-1)),
    ("slot 0.5", ParameterError, "0 to 7", lambda e: e.set_weight(0.5, 1.0)),
    ("slot True", ParameterError, "0 to 7", lambda e: e.set_weight(True, 1.0)),
    ("weight nan", ParameterError, "-10 to 10", lambda e: e.set_weight(0, NAN)),
    ("weight 1e9", ParameterError, "-10 to 10", lambda e: e.set_prompt("a", weight=1e9)),
    ("ramp -1", ParameterError, "0 to 1000000", lambda e: e.set_weight(0, 1.0, ramp_frames=-1)),
    ("ramp 1.5", ParameterError, "whole", lambda e: e.set_weight(0, 1.0, ramp_frames=1.5)),
    ("temperature -1", ParameterError, "0 to 10", lambda e: e.set_parameter("temperature", -1)),
    ("temperature nan", ParameterError, "0 to 10", lambda e: e.set_parameter("temperature", NAN)),
    ("top_k 1e9", ParameterError, "0 to 65536", lambda e: e.set_parameter("top_k", 10**9)),
    ("top_k 1.5", ParameterError, "whole", lambda e: e.set_parameter("top_k", 1.5)),
    ("top_p 2", ParameterError, "0 to 1", lambda e: e.set_parameter("top_p", 2)),
    ("cfg inf", ParameterError, "0 to 30", lambda e: e.set_parameter("cfg", float("inf"))),
    ("cfg text", ParameterError, "0 to 30", lambda e: e.set_parameter("cfg", "3")),
    ("seed -1", ParameterError, "0 to", lambda e: e.set_parameter("seed", -1)),
    ("seed ramp", ParameterError, "ramped", lambda e: e.set_parameter("seed", 1, ramp_frames=3)),
    ("unknown", ParameterError, "temperature, top_k", lambda e: e.set_parameter("speed", 1)),
    ("melody", UnsupportedError, "musicgen-melody", lambda e: e.set_melody(TUNE)),
    ("melody of notes", ParameterError, "a Melody", lambda e: e.set_melody([60])),
    ("attribute", UnsupportedError, "has none", lambda e: e.set_attribute("drums", True)),
    ("tempo 0", ParameterError, "20 to 999", lambda e: e.set_tempo(0)),
    ("tempo nan", ParameterError, "20 to 999", lambda e: e.set_tempo(NAN)),
    ("tempo -1", ParameterError, "20 to 999", lambda e: e.set_tempo(-1, at_frame=30)),
    ("signature", ParameterError, "1 to 16", lambda e: e.set_tempo(120, 0, at_frame=30)),
    ("past prompt", PromptError, "1 to 2000", lambda e: e.set_prompt("", at_frame=30)),
    ("past slot", ParameterError, "0 to 7", lambda e: e.set_prompt("a", 9, at_frame=30)),
    ("frame -1", ParameterError, "whole number|0 to", lambda e: e.clear_prompt(0, at_frame=-1)),
    ("frame 1.5", ParameterError, "whole", lambda e: e.clear_prompt(0, at_frame=1.5)),
    ("frame 10**30", ParameterError, "0 to", lambda e: e.clear_prompt(0, at_frame=10**30)),
    ("future", HistoryError, "0 to 60", lambda e: e.rollback(61)),
    ("rollback -1", ParameterError, "0 to", lambda e: e.rollback(-1)),
    ("rollback nan", ParameterError, "whole", lambda e: e.rollback(NAN)),
    ("memory too long", ParameterError, "1 to 29", lambda e: e.set_memory(0, 30)),
    ("memory of nothing", ParameterError, "1 to 29", lambda e: e.set_memory(0, 0)),
    ("memory to come", HistoryError, "0 to 57", lambda e: e.set_memory(50, 8)),
    ("memory undone", HistoryError, "0 to 27", lambda e: e.set_memory(20, 8, at_frame=30)),
    ("memory -1", ParameterError, "0 to", lambda e: e.set_memory(-1, 5)),
    ("short audio", ParameterError, "2560", lambda e: e.continue_from(SILENCE[:, :100], 32000)),
    ("audio rate", ParameterError, "32000", lambda e: e.continue_from(SILENCE, 44100)),
    ("audio shape", ParameterError, "\\[1, N\\]", lambda e: e.continue_from(SILENCE[0], 32000)),
    ("audio nan", ParameterError, "finite", lambda e: e.continue_from(SILENCE * NAN, 32000)),
    ("codes shape", ParameterError, "\\[4, T\\]", lambda e: e.continue_codes(np.zeros((3, 9)))),
    ("codes value", ParameterError, "0 to 63", lambda e: e.continue_codes(np.full((4, 9), 64))),
    ("no codes", ParameterError, "1 or more", lambda e: e.continue_codes(np.zeros((4, 0), int))),
    ("step 0", ParameterError, "1 to 200", lambda e: e.step(0)),
    ("step 10**9", ParameterError, "1 to 200", lambda e: e.step(10**9)),
    ("run nan", ParameterError, "0 to", lambda e: next(e.run(NAN))),
    ("codes undone", HistoryError, "57 that are", lambda e: e.codes(0, 58)),
    ("codes backwards", HistoryError, "57 that are", lambda e: e.codes(9, 8)),
]


@pytest.fixture(scope="module")
def engine(engine_of: EngineMaker) -> Engine:
    """One engine for all of them: an error must leave it as it is."""
    engine = engine_of("text")
    engine.set_prompt("deep house")
    engine.step(60)
    return engine


@pytest.mark.parametrize(
    ("error", "range_named", "wrong"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG]
)
def test_an_error_names_the_range_and_changes_nothing(
    error: type[MusicgenRTError], range_named: str, wrong: Wrong, engine: Engine
) -> None:
    session = engine.session
    before = (engine.next_frame, engine.next_sample, score_to_json(session.stream.score))
    with pytest.raises(error, match=range_named) as failure:
        wrong(engine)
    assert len(str(failure.value)) < 400
    assert engine.session is session
    assert (engine.next_frame, engine.next_sample, score_to_json(session.stream.score)) == before
    assert engine.timeline is None


def test_the_music_after_all_of_them_is_what_it_would_have_been(
    engine: Engine, engine_of: EngineMaker
) -> None:
    other = engine_of("text")
    other.set_prompt("deep house")
    for one in (engine, other):
        while one.next_frame < 110:
            one.step(10)
    assert np.array_equal(engine.codes(0, 107), other.codes(0, 107))


def test_attributes_name_those_that_exist(engine_of: EngineMaker) -> None:
    engine = engine_of("frame")
    with pytest.raises(UnsupportedError, match="has drums, bass, lead"):
        engine.set_attribute("choir", True)
    with pytest.raises(ParameterError, match="True, False or None"):
        engine.set_attribute("drums", "on")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [
        {"window_seconds": 0.5},
        {"window_seconds": NAN},
        {"window_seconds": "30"},
        {"window_seconds": 30.0, "context_seconds": 31.0},
        {"history_seconds": 0},
        {"text_capacity": 0},
        {"text_capacity": 1.5},
        {"prefill_chunk_frames": 0},
        {"compile_step": 1},
    ],
)
def test_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match="expected"):
        EngineOptions(**options)


def test_options_must_fit_the_model(models: dict[str, MusicGen]) -> None:
    with pytest.raises(ParameterError, match="positions for 2048"):
        Engine(models["text"], EngineOptions(window_seconds=60.0))
    with pytest.raises(ParameterError, match=r"16 frames|expected"):
        Engine(models["text"], EngineOptions(window_seconds=1.0, context_seconds=1.0))


def test_a_frame_that_is_forgotten(engine_of: EngineMaker) -> None:
    engine = engine_of("text", SHORT)
    while engine.next_frame < 520:
        engine.step(130)
    earliest = engine.earliest_return
    assert earliest > 0
    for wrong in (
        lambda: engine.rollback(earliest - 1),
        lambda: engine.set_prompt("late", at_frame=earliest - 1),
        lambda: engine.set_tempo(120, at_frame=earliest - 1),
        lambda: engine.set_memory(0, 10, at_frame=earliest - 1),
        lambda: engine.codes(0, 10),
    ):
        with pytest.raises(HistoryError, match=r"expected|are kept"):
            wrong()
    assert engine.next_frame == 520
    assert engine.timeline is None
