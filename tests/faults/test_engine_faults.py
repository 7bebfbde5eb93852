"""The fault plan's rows that the engine's worker meets: F01, F04, F05, F06, F08, F28."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from musicgen_rt.live.worker_exit import EXIT_DEVICE, EXIT_ENGINE, GiveUpError
from musicgen_rt.model.musicgen import MusicGen
from tests.live.worker_rig import BAR, HOP, Rig
from tests.support.stand_in import StandIn, error_of, stand_in_model


@pytest.fixture(scope="module")
def model(tiny_frame_conditioned: Path) -> MusicGen:
    torch.set_num_threads(1)
    return MusicGen.load(str(tiny_frame_conditioned), device="cpu", weights="fp32")


@pytest.fixture
def stand_in() -> StandIn:
    return StandIn(content="noise")


@pytest.fixture
def rig(model: MusicGen, stand_in: StandIn) -> Rig:
    return Rig(stand_in_model(model, stand_in), lead_ms=600)


def errors(rig: Rig, where: str) -> list[dict[str, object]]:
    return [message for message in rig.of_kind("error") if message["where"] == where]


# F01: the language model at 0.8 x real time


def test_f01_a_slow_model_is_reported_and_comes_back_on_bar_lines(
    rig: Rig, stand_in: StandIn
) -> None:
    stand_in.on_step = lambda _: rig.pass_time(1 / 40)
    rig.live(400)
    reports = errors(rig, "deficit")
    assert reports, "the lead of 0.6 s lasts for 3 s at 0.8 x real time"
    assert "40 frames a second and 50 are played" in str(reports[-1]["text"])
    assert rig.loop._vitals()["deficits"] >= len(reports)
    assert rig.player.pace.is_too_slow
    assert 39 <= rig.player.pace.steps_per_second <= 41
    heard = rig.heard[0]
    begins = np.nonzero(np.isnan(heard[:-1]) & ~np.isnan(heard[1:]))[0] + 1
    assert len(begins) >= 2
    for begin in begins:  # each stretch begins on a bar line, with a short lead-in if it has one
        before_line = -(begin + rig.heard_from) % (BAR * HOP)
        assert before_line in (0, rig.player.writer.fade_samples)
    assert np.isnan(heard).mean() < 0.35, "four fifths of the music can be made"


def test_f01_a_model_that_is_fast_again_needs_no_more_skips(rig: Rig, stand_in: StandIn) -> None:
    stand_in.on_step = lambda _: rig.pass_time(1 / 40)
    rig.live(250)
    stand_in.on_step = lambda _: rig.pass_time(1 / 120)
    rig.live(60)
    count = rig.faults.counts.deficits
    rig.live(200)
    assert rig.faults.counts.deficits == count
    assert not np.isnan(rig.heard[0, -200 * HOP :]).any()


# F04: out of memory


def test_f04_out_of_memory_once_is_not_heard(rig: Rig, model: MusicGen, stand_in: StandIn) -> None:
    stand_in.content = "clicks"
    rig.play(60)
    stand_in.errors_at_steps = {stand_in.step + 5: error_of("oom")}
    rig.play(100)
    assert len(errors(rig, "memory")) == 1
    assert "let go" in str(errors(rig, "memory")[0]["text"])
    assert rig.faults.counts.memory == 1
    other = Rig(stand_in_model(model, StandIn()), lead_ms=600)
    other.play(160)
    assert np.array_equal(rig.heard_samples(0, 150), other.heard_samples(0, 150))


def test_f04_out_of_memory_again_shrinks_the_window(model: MusicGen, stand_in: StandIn) -> None:
    from musicgen_rt.live.build import EngineOptions

    wide = EngineOptions(
        window_seconds=8.0, context_seconds=3.2, history_seconds=20.0, compile_step=False
    )
    rig = Rig(stand_in_model(model, stand_in), lead_ms=600, options=wide)
    rig.play(150)
    rig.command("attr/set", "bass", "on")
    rig.play(10)
    step = stand_in.step
    stand_in.errors_at_steps = {step: error_of("oom"), step + 1: error_of("oom")}
    rig.play(100)
    assert [str(one["text"])[:26] for one in errors(rig, "memory")] == [
        "out of memory: let go of w",
        "out of memory: the window ",
    ]
    assert rig.stage.engine.options.window_seconds == 4.0
    assert rig.stage.controls()["attributes"]["bass"] == "on"
    assert not np.isnan(rig.heard).any()


def test_f04_out_of_memory_without_end_ends_the_process(rig: Rig, stand_in: StandIn) -> None:
    rig.play(60)
    stand_in.errors_at_steps = {stand_in.step + n: error_of("oom") for n in range(50)}
    with pytest.raises(GiveUpError, match="nothing is left to spare") as failure:
        rig.play(60)
    assert failure.value.exit_code == EXIT_DEVICE


# F05: a sticky device error


def test_f05_a_device_error_ends_the_process_for_another_one(rig: Rig, stand_in: StandIn) -> None:
    rig.play(60)
    rig.move(20)
    made = stand_in.step
    stand_in.errors_at_steps = {made: error_of("cuda")}
    assert rig.loop.run() == EXIT_DEVICE
    assert stand_in.step == made + 1, "it is never tried again in this process"
    assert "illegal memory access" in rig.of_kind("error")[-1]["text"]


def test_f05_any_other_unknown_error_does_too(rig: Rig, stand_in: StandIn) -> None:
    rig.play(20)
    rig.move(20)
    stand_in.errors_at_steps = {stand_in.step: error_of("bug")}
    assert rig.loop.run() == EXIT_ENGINE
    assert "ValueError: a bug" in rig.of_kind("error")[-1]["text"]


# F06: NaN logits


@pytest.mark.parametrize("length", [1, 16])
def test_f06_nan_is_not_written_but_counted_and_played_otherwise(
    rig: Rig, stand_in: StandIn, length: int
) -> None:
    rig.play(60)
    seed = rig.stage.controls()["params"]["seed"]
    stand_in.nan_at_steps = range(stand_in.step + 7, stand_in.step + 7 + length)
    rig.play(100)
    assert not np.isnan(rig.heard).any()
    count = len(errors(rig, "logits"))
    assert count == 1 if length == 1 else count >= 2
    assert rig.faults.counts.non_finite == count
    assert rig.of_kind("state")[-1]["params"]["seed"] != seed
    rig.play(60)
    assert rig.faults.counts.non_finite == count


def test_f06_a_cache_full_of_nan_is_left_behind(rig: Rig, stand_in: StandIn) -> None:
    rig.play(60)
    stand_in.nan_at_steps = range(stand_in.step, stand_in.step + 20)
    rig.play(60)
    assert 4 <= rig.faults.counts.non_finite <= 6
    assert rig.stage.engine.windows_rolled == 1, "what the model sees is read anew"
    assert not np.isnan(rig.heard).any()


def test_f06_a_model_that_makes_nothing_else_ends_the_process(rig: Rig, stand_in: StandIn) -> None:
    rig.play(60)
    stand_in.nan_at_steps = range(stand_in.step, stand_in.step + 10_000)
    with pytest.raises(GiveUpError, match="in a row") as failure:
        rig.play(60)
    assert failure.value.exit_code == EXIT_ENGINE
    assert not np.isnan(rig.heard).any()


@pytest.mark.parametrize(("content", "kind"), [("silence", "silence"), ("tone", "one tone")])
def test_f08_collapsed_music_is_made_again_from_its_last_sound_bar(
    model: MusicGen, stand_in: StandIn, content: str, kind: str
) -> None:
    rig = Rig(stand_in_model(model, stand_in), lead_ms=600, hears_collapse=True)
    rig.play(100)
    stand_in.content = content
    rig.play(62)
    assert len(errors(rig, "collapse")) == 1
    assert str(errors(rig, "collapse")[0]["text"]).startswith(kind)
    stand_in.content = "noise"
    rig.play(60)
    assert rig.faults.counts.reseeds == 1
    seed = rig.of_kind("state")[-1]["params"]["seed"]
    assert seed != 7
    assert rig.player.splice.session_frame % BAR == 0
    assert rig.player.splice.stream_frame <= 126, "what came before it collapsed"
    assert rig.player.splice.stream_frame % BAR == 0
    assert not np.isnan(rig.heard).any()


def collapsing(model: MusicGen, stand_in: StandIn, sound_frames: int, bank: Path) -> Rig:
    """Music is made for so many frames and silence since; the bank holds some of the music."""
    rig = Rig(stand_in_model(model, stand_in), lead_ms=600, hears_collapse=True)
    rig.play(100)
    rig.command("bank/save", str(bank))
    make_to(rig, sound_frames)
    stand_in.content = "silence"
    return rig


def make_to(rig: Rig, frame: int) -> None:
    while rig.player.next_frame < frame:
        rig.play(1, step=1)


@pytest.mark.parametrize("way_out", ["bank/load", "gen/undo", "gen/freeze"])
def test_f08_a_jump_to_the_line_of_the_remedy_is_the_remedy(
    model: MusicGen, stand_in: StandIn, tmp_path: Path, way_out: str
) -> None:
    """What comes before it is made while it waits, and heard to have collapsed."""
    bank, line = tmp_path / "bank", 8 * BAR
    rig = collapsing(model, stand_in, line - 2 * BAR - 4, bank)
    args = {"bank/load": (str(bank),), "gen/undo": (4,), "gen/freeze": (1, 1)}[way_out]
    asked = rig.command(way_out, *args, frame=line)
    make_to(rig, line + 8)
    stand_in.content = "noise"
    rig.play(60)
    assert len(errors(rig, "collapse")) == 1
    assert rig.applied_at(asked) == line
    kept = {"bank/load": 2 * BAR, "gen/undo": 4 * BAR, "gen/freeze": line}[way_out]
    assert rig.player.splice.stream_frame == kept, "what was asked for plays on"
    assert rig.player.splice.session_frame == line
    assert rig.faults.counts.reseeds == 0
    assert not np.isnan(rig.heard).any()


def test_f08_silence_before_a_jump_is_not_held_against_what_follows_it(
    model: MusicGen, stand_in: StandIn, tmp_path: Path
) -> None:
    line = 8 * BAR
    rig = collapsing(model, stand_in, line - BAR - 10, tmp_path / "bank")
    rig.command("bank/load", str(tmp_path / "bank"), frame=line)
    make_to(rig, line + BAR + 10)
    assert rig.player.splice.session_frame == line
    stand_in.content = "noise"
    rig.play(60)
    assert not errors(rig, "collapse"), "no two bars of either"


def test_f08_music_that_shall_be_silent_is_let_alone_in_the_end(
    model: MusicGen, stand_in: StandIn
) -> None:
    stand_in.content = "silence"
    rig = Rig(stand_in_model(model, stand_in), lead_ms=600, hears_collapse=True)
    rig.play(600, step=10)
    assert len(errors(rig, "collapse")) == 3


# F28: a damaged checkpoint


@pytest.fixture
def truncated(tiny_frame_conditioned: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "truncated"
    shutil.copytree(tiny_frame_conditioned, folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    return folder


def wait_for_swap(rig: Rig) -> None:
    thread = rig.loop._swap._thread
    if thread is not None:
        thread.join()


def test_f28_a_truncated_checkpoint_is_refused_and_the_old_plays_on(
    model: MusicGen, truncated: Path
) -> None:
    rig = Rig(model, lead_ms=600)
    rig.play(60)
    rig.tell("swap", id=501, model=str(truncated), device="cpu", weights="fp32")
    rig.loop.turn()
    busy = rig.command("param/set", "cfg", 2.0)
    wait_for_swap(rig)
    rig.play(60)
    assert rig.answer(501)["type"] == "failed"
    assert "model.safetensors" in rig.answer(501)["reason"]
    assert rig.answer(busy)["type"] == "applied"
    assert rig.stage.engine.model is model
    assert not np.isnan(rig.heard).any()


def test_f28_another_rate_or_number_of_channels_is_refused(
    model: MusicGen, tiny_stereo: Path
) -> None:
    rig = Rig(model, lead_ms=600)
    rig.play(20)
    rig.tell("swap", id=501, model=str(tiny_stereo), device="cpu", weights="fp32")
    rig.loop.turn()
    wait_for_swap(rig)
    rig.play(40)
    assert "channels is 2, expected 1" in rig.answer(501)["reason"]


def test_f51_a_sound_one_takes_over_on_a_bar_line(model: MusicGen, tiny_text: Path) -> None:
    rig = Rig(model, lead_ms=600)
    rig.play(60)
    rig.command("attr/set", "drums", "off")
    rig.tell("swap", id=501, model=str(tiny_text), device="cpu", weights="fp32")
    rig.loop.turn()
    wait_for_swap(rig)
    rig.play(80)
    frame = rig.applied_at(501)
    assert frame % BAR == 0
    assert rig.stage.engine.model.source == str(tiny_text)
    assert rig.player.splice.stream_frame == frame, "the bars before it are its past"
    assert rig.stage.controls()["prompts"]["0"] == "deep house"
    assert rig.stage.controls()["attributes"] == {}
    assert [message["model"] for message in rig.of_kind("ready")] == [
        model.source,
        str(tiny_text),
    ]
    assert not np.isnan(rig.heard).any()
