"""The engine over a model of masked codes: blocks of bars, and still a function of the score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from musicgen_rt.errors import HistoryError, UnsupportedError
from musicgen_rt.live.asked_tempo import TEMPO_WORDS
from musicgen_rt.live.build import EngineOptions
from musicgen_rt.live.controls import Edit
from musicgen_rt.live.engine import Engine
from musicgen_rt.live.infill import infill
from musicgen_rt.model.musicgen import MusicGen
from tests.support.audiocraft import convert_recorded

# The window of the recorded model is a second, 50 frames, of which a roll keeps 20.
OPTIONS = EngineOptions(text_capacity=64, history_seconds=4.0)
PROMPT = "bright bells over rain"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> MusicGen:
    folder: Path = convert_recorded(tmp_path_factory.mktemp("magnet"), "magnet")
    model = MusicGen.load(str(folder), device="cpu", weights="fp32")
    magnet = model.config.magnet
    assert magnet is not None
    fast = replace(magnet, decoding_steps=(3, 2, 2, 2))
    return replace(model, config=replace(model.config, magnet=fast))


@pytest.fixture
def engine(model: MusicGen) -> Engine:
    engine = Engine(model, OPTIONS)
    engine.set_prompt(PROMPT)
    return engine


def play(engine: Engine, frames: int, chunk_frames: int = 10) -> np.ndarray:
    """Make frames up to `frames`; all codes so far [K, T]."""
    while engine.next_frame < frames:
        engine.step(min(chunk_frames, frames - engine.next_frame))
    return engine.codes(0, frames)


def test_it_goes_on_for_ever_and_chunks_do_not_matter(model: MusicGen) -> None:
    played = []
    for chunk_frames in (7, 50):
        engine = Engine(model, OPTIONS)
        engine.set_prompt(PROMPT)
        played.append(play(engine, 150, chunk_frames))
        assert engine.windows_rolled == 4  # at 50, 80, 110 and 140
    assert np.array_equal(played[0], played[1])


def test_sampling_is_the_checkpoints_own(engine: Engine) -> None:
    score = engine.session.stream.score
    found = [score.at(name, 0) for name in ("temperature", "top_k", "top_p", "cfg")]
    assert found == [3.0, 0, 0.9, 10.0]


CHANGES: list[Callable[[Engine, int], None]] = [
    lambda engine, at: engine.set_prompt("a low drone", at_frame=at),
    lambda engine, at: engine.set_parameter("temperature", 0.5, at_frame=at),
    lambda engine, at: engine.set_parameter("cfg", 2.0, at_frame=at),
    lambda engine, at: engine.set_tempo(240, 2, at_frame=at),
    lambda engine, at: engine.roll_window(at_frame=at),
    lambda engine, at: engine.apply([Edit(TEMPO_WORDS, "90 bpm")], at),
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("frame", [30, 65])
def test_a_late_change_is_a_change_in_time(
    model: MusicGen, engine: Engine, change: Callable[[Engine, int], None], frame: int
) -> None:
    before = play(engine, 95)
    change(engine, frame)
    late = play(engine, 95)
    punctual = Engine(model, OPTIONS)
    punctual.set_prompt(PROMPT)
    change(punctual, frame)
    assert np.array_equal(play(punctual, 95), late)
    # What was heard stays, and what comes is another.
    assert np.array_equal(late[:, :frame], before[:, :frame])
    assert not np.array_equal(late[:, frame:], before[:, frame:])


@pytest.mark.parametrize("frame", [10, 50, 60])
def test_going_back_makes_the_same_again(engine: Engine, frame: int) -> None:
    first = play(engine, 90)
    engine.rollback(frame)
    assert np.array_equal(play(engine, 90), first)


def test_blocks_end_on_bar_lines(engine: Engine) -> None:
    engine.set_tempo(200, 2)  # a bar of 30 frames
    play(engine, 100)
    assert [window.since for window in engine.session.stream.windows] == [0, 30, 60, 90]


def test_the_next_step_is_announced_where_it_fills(engine: Engine) -> None:
    announced = []
    for _ in range(8):
        announced.append(engine.is_about_to_fill)
        engine.step(10)
    assert announced == [True, False, False, False, False, True, False, False]
    engine.set_prompt("a low drone")
    assert engine.is_about_to_fill


def test_a_continuation_keeps_what_it_was_given(model: MusicGen, engine: Engine) -> None:
    given = play(engine, 30)
    other = Engine(model, OPTIONS)
    other.continue_codes(given)
    other.set_prompt("a low drone")
    assert np.array_equal(play(other, 60)[:, :30], given)


def test_a_snapshot_and_a_log_go_on_alike(engine: Engine, tmp_path: Path) -> None:
    play(engine, 70)
    engine.set_prompt("a low drone", slot=1, weight=0.5)
    engine.snapshot(tmp_path / "snapshot")
    log = engine.log()
    expected = play(engine, 120)
    engine.restore(tmp_path / "snapshot")
    assert np.array_equal(play(engine, 120), expected)
    assert np.array_equal(play(Engine.replay(engine.model, log), 120), expected)


def test_audio_comes_out(engine: Engine) -> None:
    samples = np.concatenate([chunk.samples for chunk in engine.run(seconds=2)], axis=1)
    assert samples.shape == (1, 64_000)
    assert np.isfinite(samples).all() and samples.std() > 0


# --- infill ---


def test_two_bars_of_eight_are_made_anew_between_the_others(engine: Engine) -> None:
    engine.set_tempo(600, 2)  # a bar of 10 frames
    before = play(engine, 80)
    infill(engine, 20, 40)
    engine.set_parameter("seed", 5, at_frame=20)
    after = play(engine, 80)
    assert np.array_equal(after[:, :20], before[:, :20])
    assert not np.array_equal(after[:, 20:40], before[:, 20:40])
    assert np.array_equal(after[:, 40:80], before[:, 40:80])
    assert np.array_equal(play(engine, 120)[:, :80], after)


def test_an_infill_can_be_logged_gone_back_to_and_done_again(engine: Engine) -> None:
    play(engine, 80)
    infill(engine, 50, 60)
    engine.set_parameter("seed", 5, at_frame=50)
    first = play(engine, 100)
    engine.rollback(30)
    assert np.array_equal(play(engine, 100), first)
    assert np.array_equal(play(Engine.replay(engine.model, engine.log()), 100), first)
    # One further back: what the other one made stays.
    infill(engine, 20, 30)
    engine.set_parameter("seed", 9, at_frame=20)
    second = play(engine, 100)
    assert np.array_equal(second[:, 30:80], first[:, 30:80])
    assert not np.array_equal(second[:, 20:30], first[:, 20:30])


@pytest.mark.parametrize(("first", "end"), [(40, 40), (40, 999), (60, 40)])
def test_an_infill_of_what_is_not_there(engine: Engine, first: int, end: int) -> None:
    codes = play(engine, 60)
    with pytest.raises(HistoryError, match="expected a stretch within"):
        infill(engine, first, end)
    assert np.array_equal(engine.codes(0, 60), codes)


def test_a_model_that_only_looks_back_cannot_infill(model: MusicGen) -> None:
    plain = replace(model, config=replace(model.config, magnet=None))
    with pytest.raises(UnsupportedError, match="load a MAGNeT"):
        infill(Engine(plain, OPTIONS), 0, 1)
