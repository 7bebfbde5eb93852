"""Banks that are recalled live: remembered from a bar line on, under the controls of now."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from musicgen_rt.live import take
from musicgen_rt.live.memory import Memory
from musicgen_rt.model.musicgen import MusicGen
from tests.live.worker_rig import BAR, Rig


@pytest.fixture
def rig(models: dict[str, MusicGen]) -> Rig:
    return Rig(models["frame"])


def saved_bank(rig: Rig, folder: Path) -> Path:
    """A bank of what was heard after three bars."""
    path = folder / "bank.safetensors"
    rig.play(3 * BAR)
    rig.command("bank/save", str(path))
    rig.fill()
    return path


def test_a_recalled_bank_stands_in_front_of_every_window_until_it_is_forgotten(
    rig: Rig, tmp_path: Path
) -> None:
    path = saved_bank(rig, tmp_path)
    kept = take.load(path)
    rig.command("prompt/set", 0, "thunder", 1.0, 0)
    rig.play(2 * BAR)
    stream = rig.stage.engine.session.stream
    identity = rig.command("bank/recall", str(path))
    rig.play(6 * BAR)
    at = rig.applied_at(identity)
    memory = stream.score.at("memory", at)
    assert isinstance(memory, Memory)
    np.testing.assert_array_equal(memory.codes, kept.codes)
    assert memory.conditions[0].clock is not None
    later = [window for window in stream.windows if window.since >= at]
    assert later[0].since == at
    assert later[0].since - later[0].start == BAR, "one bar of what was just played"
    assert all(window.memory_frames == kept.frames for window in later)
    assert stream.score.at("context_bars", at + 1) == 0
    assert stream.score.at("prompt/0", at) == "thunder", "the controls stay"
    identity = rig.command("bank/forget")
    rig.play(8 * BAR)
    last = stream.windows[-1]
    assert last.since > rig.applied_at(identity)
    assert last.memory_frames == 0
    assert not np.isnan(rig.heard).any()


def test_a_bank_is_remembered_whole_where_the_stream_has_just_begun(
    rig: Rig, tmp_path: Path
) -> None:
    path = saved_bank(rig, tmp_path)
    rig.command("gen/panic")
    rig.play(BAR)
    identity = rig.command("bank/recall", str(path))
    rig.play(2 * BAR)
    stream = rig.stage.engine.session.stream
    at = rig.player.stream_frame_of(rig.applied_at(identity))
    first = next(window for window in stream.windows if window.since >= at)
    assert first.memory_frames == take.load(path).frames


def test_what_is_no_bank_fails_and_the_music_goes_on(rig: Rig, tmp_path: Path) -> None:
    rig.play(BAR)
    identity = rig.command("bank/recall", str(tmp_path / "none.safetensors"))
    rig.play(2 * BAR)
    assert rig.answer(identity)["type"] == "failed"
    assert "there is no such bank" in rig.answer(identity)["reason"]
    assert not np.isnan(rig.heard).any()


def test_a_bank_that_is_recalled_twice_on_one_bar_leaves_the_context_as_it_was(
    rig: Rig, tmp_path: Path
) -> None:
    path = saved_bank(rig, tmp_path)
    line = 7 * BAR
    for _ in range(2):
        rig.command("bank/recall", str(path), frame=line)
    rig.play(6 * BAR)
    score = rig.stage.engine.session.stream.score
    assert isinstance(score.at("memory", line), Memory)
    assert [score.at("context_bars", line + frames) for frames in (0, 1)] == [1, 0]
