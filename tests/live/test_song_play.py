"""Songs on an engine: bars to the sample, memories of what was played, and files that come back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from bridge.cli import main
from musicgen_rt.live.build import EngineOptions
from musicgen_rt.live.engine import Engine
from musicgen_rt.live.memory import Memory
from musicgen_rt.live.prompt import Prompt
from musicgen_rt.live.song import Section, Song
from musicgen_rt.live.song_play import SongPlayer
from musicgen_rt.model.musicgen import MusicGen
from musicgen_rt.offline.sidecar import read_sidecar

# Bars of 12.5 frames, and a past that is forgotten long before it is recalled.
_OPTIONS = EngineOptions(
    window_seconds=1.2, context_seconds=0.4, history_seconds=1.0, text_capacity=64
)
_SONG = """
bpm = 960
[[section]]
name = "A"
bars = 4
prompt = "house"
attributes = { drums = true }
[[section]]
name = "B"
bars = 6
prompt = "rock"
transition_bars = 2
melody = { beats = 4, notes = [[0, 2, 60], [2, 2, 64]] }
[[section]]
name = "A2"
bars = 4
recall = "A"
memory_bars = 1
"""


@pytest.fixture(scope="module")
def model(tiny_frame_conditioned: Path) -> MusicGen:
    return MusicGen.load(str(tiny_frame_conditioned), device="cpu", weights="fp32")


@pytest.fixture
def song_file(tmp_path: Path) -> Path:
    path = tmp_path / "song.toml"
    path.write_text(_SONG)
    return path


def section(name: str, bars: int, **values: Any) -> Section:
    return Section(name, bars, (Prompt("house"),), 960.0, **values)


def play(model: MusicGen, song: Song, chunk_frames: int) -> Engine:
    engine = Engine(model, _OPTIONS)
    player = SongPlayer(song, engine)
    while (left := player.plan.end_frame - engine.next_frame) > 0:
        player.step(min(chunk_frames, left))
    return engine


def test_the_opening_is_remembered_however_long_ago_it_was(model: MusicGen) -> None:
    song = Song("x", (section("A", 6), section("B", 100), section("A2", 6, recall="A")))
    engine = Engine(model, _OPTIONS)
    player = SongPlayer(song, engine)
    opening = np.zeros((4, 0))
    while engine.next_frame < player.plan.end_frame:
        if opening.shape[1] < 25 <= engine.next_frame - 3:
            opening = engine.codes(0, 25)
        player.step(7)
    at = player.plan.sections[2].first_frame
    memory = engine.session.stream.score.at("memory", at)
    assert isinstance(memory, Memory)
    np.testing.assert_array_equal(memory.codes, opening)
    assert any(window.memory_frames for window in engine.session.stream.windows)


def test_chunks_do_not_change_a_song(model: MusicGen) -> None:
    song = Song("x", (section("A", 4), section("B", 4), section("A2", 4, recall="A")))
    one, other = (play(model, song, frames) for frames in (1, 50))
    first = one.next_frame - 40
    np.testing.assert_array_equal(one.codes(first, first + 30), other.codes(first, first + 30))


def test_a_recall_changes_what_is_played(model: MusicGen) -> None:
    with_memory, without = (
        play(model, Song("x", (section("A", 4), section("B", 4), last)), 20)
        for last in (section("A2", 4, recall="A"), section("A2", 4))
    )
    start = 8 * 4 * 50 * 60 // 960
    ours, theirs = (one.codes(start - 20, start + 30) for one in (with_memory, without))
    np.testing.assert_array_equal(ours[:, :16], theirs[:, :16])
    assert (ours[:, 25:] != theirs[:, 25:]).any()


def test_a_section_that_ends_where_it_is_recalled_is_remembered_as_far_as_it_is_made(
    model: MusicGen,
) -> None:
    song = Song("x", (section("A", 2), section("A2", 2, recall="A", memory_bars=2)))
    engine = play(model, song, 10)
    memory = engine.session.stream.score.at("memory", 25)
    assert isinstance(memory, Memory)
    assert memory.codes.shape == (4, 22)


def test_a_song_renders_to_files_that_make_it_again(
    tiny_frame_conditioned: Path, song_file: Path, tmp_path: Path
) -> None:
    audio, again = tmp_path / "a.wav", tmp_path / "b.wav"
    options = ["--model", str(tiny_frame_conditioned), "--quiet", "--seed", "5"]
    options += ["--window", "1.2", "--context", "0.4"]
    assert main(["render", "--score", str(song_file), *options, "--out", str(audio)]) == 0
    samples, _ = soundfile.read(audio)
    sidecar = read_sidecar(tmp_path / "a.json")
    placed = [(one.name, one.first_frame, one.end_frame) for one in sidecar.sections]
    assert placed == [("A", 0, 50), ("B", 50, 125), ("A2", 125, 175)]
    assert len(samples) == sidecar.sections[-1].end_frame * 640
    assert sidecar.recipe.parameters["seed"] == 5
    song_file.unlink()
    assert main(["render", "--from", str(tmp_path / "a.json"), "--out", str(again)]) == 0
    np.testing.assert_array_equal(soundfile.read(again)[0], samples)
    ours, theirs = (json.loads((tmp_path / name).read_text()) for name in ("a.json", "b.json"))
    assert ours["recipe"] == theirs["recipe"]


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (["--seconds", "3"], "--seconds and --score"),
        (["--from", "x.json"], "--from and --score"),
        (["--melody", "x.mid"], "--melody and --score"),
        (["--prompt", "house"], "prompts is given beside a song"),
        (["--bpm", "100"], "bpm is given beside a song"),
    ],
)
def test_what_the_song_says_is_not_said_twice(
    song_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], extra: list[str], said: str
) -> None:
    out = ["--out", str(tmp_path / "a.wav")]
    assert main(["render", "--score", str(song_file), *out, *extra]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "a.wav").exists()


def test_what_the_checkpoint_cannot_do_is_told_before_it_loads(
    tiny_text: Path, song_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--model", str(tiny_text), "--out", str(tmp_path / "a.wav")]
    assert main(["render", "--score", str(song_file), *arguments]) == 1
    assert "cannot follow a melody" in capsys.readouterr().err


def test_an_attribute_that_the_checkpoint_lacks_is_told_before_it_loads(
    tiny_frame_conditioned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "song.toml"
    path.write_text(_SONG.replace("drums", "choir"))
    arguments = ["--model", str(tiny_frame_conditioned), "--out", str(tmp_path / "a.wav")]
    assert main(["render", "--score", str(path), *arguments]) == 1
    assert "'choir'" in capsys.readouterr().err
