"""Rendering: exact lengths, tokens that are the audio's, repeatable, and all files or none."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyloudnorm
import pytest
import soundfile
import torch
from transformers import MusicgenForConditionalGeneration

from musicgen_rt.errors import AudioFileError, NonFiniteError
from musicgen_rt.live.engine import Engine
from musicgen_rt.live.melody import melody_from_notes
from musicgen_rt.live.prompt import Prompt
from musicgen_rt.model.musicgen import MusicGen
from musicgen_rt.model.notes import Note
from musicgen_rt.offline.given_frames import GivenFrames
from musicgen_rt.offline.recipe import Recipe
from musicgen_rt.offline.render import Rendered, begin, render, settled
from musicgen_rt.offline.staged_files import StagedFiles
from musicgen_rt.offline.token_file import TokenWriter

RATE_HZ, HOP = 32000, 640


@pytest.fixture(scope="module")
def model(tiny_text: Path) -> MusicGen:
    return MusicGen.load(str(tiny_text), device="cpu", weights="fp32")


@pytest.fixture(scope="module")
def stereo(tiny_stereo: Path) -> MusicGen:
    return MusicGen.load(str(tiny_stereo), device="cpu", weights="fp32")


@pytest.fixture(scope="module")
def conditioned(tiny_frame_conditioned: Path) -> MusicGen:
    return MusicGen.load(str(tiny_frame_conditioned), device="cpu", weights="fp32")


def recipe(**values: Any) -> Recipe:
    defaults: dict[str, Any] = {"model": "tiny", "seconds": 0.5, "prompts": (Prompt("piano"),)}
    return Recipe(**defaults | values)


def given_frames(frames: int) -> GivenFrames:
    return GivenFrames.of(np.random.default_rng(0).integers(64, size=(4, frames)))


def make(model: MusicGen, recipe: Recipe, audio: Path, tokens: Path | None = None) -> Rendered:
    with StagedFiles() as files:
        made = render(recipe, model, files, audio, tokens)
        files.commit()
    return made


def samples_of(path: Path) -> np.ndarray:
    """Samples [C, N] of a file, as soundfile reads it."""
    samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    assert rate_hz == RATE_HZ
    return samples.T


@contextmanager
def failing_engine(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> Iterator[None]:
    """The engine's third chunk raises."""
    real, calls = Engine.step, []

    def step(self: Engine, frames: int = 10) -> Any:
        calls.append(frames)
        if len(calls) == 3:
            raise error
        return real(self, frames)

    with monkeypatch.context() as patch:
        patch.setattr(Engine, "step", step)
        yield


@pytest.mark.parametrize("seconds", [0.001, 0.5, 0.50001, 1 / 3])
def test_length_is_exact(model: MusicGen, tmp_path: Path, seconds: float) -> None:
    made = make(model, recipe(seconds=seconds), tmp_path / "a.wav", tmp_path / "a.npy")
    samples, codes = samples_of(tmp_path / "a.wav"), np.load(tmp_path / "a.npy")
    assert samples.shape == (1, round(seconds * RATE_HZ))
    assert codes.shape == (4, -(-samples.shape[1] // HOP))
    assert (made.num_samples, made.frames) == (samples.shape[1], codes.shape[1])
    assert made.new_seconds == samples.shape[1] / RATE_HZ


def test_tokens_are_the_audio(model: MusicGen, tiny_text: Path, tmp_path: Path) -> None:
    """Transformers' codec makes the same audio from the token file, but for the very end."""
    make(model, recipe(seconds=1.0), tmp_path / "a.wav", tmp_path / "a.npy")
    codes = np.load(tmp_path / "a.npy")
    assert codes.dtype == np.int16
    reference = MusicgenForConditionalGeneration.from_pretrained(tiny_text).audio_encoder.eval()
    with torch.no_grad():
        batch = torch.from_numpy(codes.astype(np.int64))[None, None]
        expected = reference.decode(batch, [None]).audio_values[0].numpy()
    settled_samples = (codes.shape[1] - 5) * HOP  # what comes after the cut changes its last frames
    actual = samples_of(tmp_path / "a.wav")
    assert np.abs(actual).max() > 1e-3
    np.testing.assert_allclose(
        actual[:, :settled_samples], expected[:, :settled_samples], atol=1e-5
    )


def test_stereo(stereo: MusicGen, tmp_path: Path) -> None:
    make(stereo, recipe(), tmp_path / "a.flac", tmp_path / "a.npy")
    left, right = samples_of(tmp_path / "a.flac")
    assert left.shape == (RATE_HZ // 2,)
    assert np.abs(left - right).max() > 1e-3
    assert np.load(tmp_path / "a.npy").shape == (8, 25)


def test_a_longer_render_begins_with_the_shorter_one(model: MusicGen, tmp_path: Path) -> None:
    """And rolls its window several times; flat memory rests on the engine's and the writers'."""
    short = recipe(seconds=0.5, window_seconds=1.0, context_seconds=0.4)
    make(model, short, tmp_path / "a.wav", tmp_path / "a.npy")
    made = make(model, replace(short, seconds=6.0), tmp_path / "b.wav", tmp_path / "b.npy")
    assert made.windows_rolled > 5
    a, b = np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy")
    np.testing.assert_array_equal(a, b[:, :25])
    np.testing.assert_array_equal(
        samples_of(tmp_path / "a.wav")[0], samples_of(tmp_path / "b.wav")[0, :16000]
    )


def test_seeds_make_other_music_and_chunks_do_not(model: MusicGen, tmp_path: Path) -> None:
    one = make(model, recipe(), tmp_path / "a.wav")
    assert make(model, recipe(), tmp_path / "a.wav").samples_sha256 == one.samples_sha256
    chunked = make(model, recipe(chunk_frames=3), tmp_path / "b.wav")
    assert chunked.tokens_sha256 == one.tokens_sha256
    a, b = samples_of(tmp_path / "a.wav"), samples_of(tmp_path / "b.wav")
    np.testing.assert_allclose(a, b, atol=1e-6)
    seeded = make(model, recipe(parameters={"seed": 1}), tmp_path / "c.wav")
    assert seeded.tokens_sha256 != one.tokens_sha256


def test_every_control_reaches_the_engine(conditioned: MusicGen, tmp_path: Path) -> None:
    """Each one alone changes the music."""
    melody = melody_from_notes([Note(61, 0.0, 5.0, 100)])
    changes: list[dict[str, Any]] = [
        {},
        {"prompts": (Prompt("violin"),)},
        {"prompts": (Prompt("piano", 0.4),)},
        {"prompts": (Prompt("piano"), Prompt("violin"))},
        {"negative": "drums"},
        {"melody": melody},
        {"attributes": {"drums": True}},
        {"attributes": {"drums": False}},
        {"bpm": 90.0},
        {"bpm": 90.0, "beats_per_bar": 3},
        {"parameters": {"cfg": 1.0}},
        {"parameters": {"temperature": 0.0}},
        {"parameters": {"top_k": 2}},
        {"parameters": {"top_p": 0.9}},
        {"given": given_frames(20), "includes_given": False},
    ]
    same: dict[str, list[Any]] = {}
    for change in changes:
        made = make(conditioned, recipe(seconds=1.5, **change), tmp_path / "a.wav")
        same.setdefault(made.tokens_sha256, []).append(change)
    assert [group for group in same.values() if len(group) > 1] == []


def test_continuing(model: MusicGen, tmp_path: Path) -> None:
    given, frames = given_frames(21), 21
    whole = make(model, recipe(given=given), tmp_path / "a.wav", tmp_path / "a.npy")
    new = make(
        model, recipe(given=given, includes_given=False), tmp_path / "b.wav", tmp_path / "b.npy"
    )
    assert (whole.given_samples, new.given_samples) == (frames * HOP, 0)
    assert whole.new_seconds == new.new_seconds == 0.5
    a, b = samples_of(tmp_path / "a.wav"), samples_of(tmp_path / "b.wav")
    assert a.shape == (1, frames * HOP + 16000)
    np.testing.assert_array_equal(a[:, frames * HOP :], b)
    codes = np.load(tmp_path / "a.npy")
    np.testing.assert_array_equal(codes[:, :frames], given.codes)
    np.testing.assert_array_equal(codes[:, frames:], np.load(tmp_path / "b.npy"))


def test_loudness_is_what_was_asked_for(model: MusicGen, tmp_path: Path) -> None:
    raw = make(model, recipe(seconds=3.0), tmp_path / "raw.wav")
    asked = recipe(seconds=3.0, loudness_lufs=-30.0, ceiling_dbtp=0.0)
    made = make(model, asked, tmp_path / "a.wav")
    assert made.normalisation is not None
    assert made.samples_sha256 == raw.samples_sha256
    measured = pyloudnorm.Meter(RATE_HZ).integrated_loudness(samples_of(tmp_path / "a.wav").T)
    assert measured == pytest.approx(-30.0, abs=0.1)
    quiet = make(model, replace(asked, loudness_lufs=0.0, ceiling_dbtp=-6.0), tmp_path / "b.flac")
    assert quiet.normalisation is not None
    assert quiet.normalisation.is_limited_by_ceiling
    assert np.abs(samples_of(tmp_path / "b.flac")).max() <= 10 ** (-6 / 20) + 1e-3
    assert sorted(os.listdir(tmp_path)) == ["a.wav", "b.flac", "raw.wav"]


def test_progress_ends_with_all_new_samples(model: MusicGen, tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    given = given_frames(20)
    with StagedFiles() as files:
        render(
            recipe(given=given),
            model,
            files,
            tmp_path / "a.wav",
            progress=lambda done, total: heard.append((done, total)),
        )
    assert heard[0] == (0, 16000)
    assert heard[-1] == (16000, 16000)
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)
    assert os.listdir(tmp_path) == []  # nothing was committed


def test_time_is_the_clocks(model: MusicGen, tmp_path: Path) -> None:
    ticks = iter([100.0, 107.5])
    with StagedFiles() as files:
        made = render(recipe(), model, files, tmp_path / "a.wav", clock=lambda: next(ticks))
    assert made.took_seconds == 7.5


def test_settled_makes_every_choice(model: MusicGen) -> None:
    chosen = settled(recipe(), model)
    assert (chosen.device, chosen.weights, chosen.text_capacity) == ("cpu", "fp32", 64)
    assert chosen.threads == torch.get_num_threads()
    assert settled(recipe(prompts=(Prompt("x" * 100),)), model).text_capacity == 128
    assert begin(recipe(), model).next_frame == 0


@pytest.mark.parametrize("error", [NonFiniteError("logits", 3), KeyboardInterrupt()])
def test_a_failed_render_leaves_what_was_there(
    model: MusicGen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    (tmp_path / "a.wav").write_text("older")
    for asked in (recipe(), recipe(loudness_lufs=-20.0)):
        with failing_engine(monkeypatch, error), pytest.raises(type(error)):
            make(model, asked, tmp_path / "a.wav", tmp_path / "a.npy")
    assert os.listdir(tmp_path) == ["a.wav"]
    assert (tmp_path / "a.wav").read_text() == "older"


def test_no_room_is_told_before_rendering(
    model: MusicGen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    for name in ("a.wav", "a.flac"):
        with pytest.raises(AudioFileError, match="1 MB are free"):
            make(model, recipe(seconds=86_400.0), tmp_path / name)
    assert os.listdir(tmp_path) == []


@contextmanager
def files_of_at_most(num_bytes: int) -> Iterator[None]:
    """Writing beyond fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("name", ["take.wav", "take.flac"])
def test_a_full_disk(model: MusicGen, tmp_path: Path, name: str) -> None:
    full = pytest.raises(AudioFileError, match=f"{tmp_path / name} cannot be written")
    with files_of_at_most(20_000), full:
        make(model, recipe(seconds=2.0), tmp_path / name, tmp_path / "take.npy")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("num_bytes", [50, 200, 1000])
def test_a_disk_too_full_for_tokens(tmp_path: Path, num_bytes: int) -> None:
    def write() -> None:
        with StagedFiles() as files:
            with TokenWriter(files.stage(tmp_path / "take.npy"), 4, 1000, 2048) as writer:
                for _ in range(100):
                    writer.write(np.zeros((4, 10), np.int64))
            files.commit()

    full = pytest.raises(AudioFileError, match=rf"{tmp_path}/take\.npy cannot be written")
    with files_of_at_most(num_bytes), full:
        write()
    assert os.listdir(tmp_path) == []


def test_a_large_vocabulary_takes_wider_integers(tmp_path: Path) -> None:
    codes = np.array([[0, 40_000, 65_535], [1, 2, 3]])
    with TokenWriter(tmp_path / "a.npy", 2, 3, 65_536) as writer:
        writer.write(codes[:, :1])
        writer.write(codes[:, 1:])
    read = np.load(tmp_path / "a.npy")
    assert read.dtype == np.int64
    np.testing.assert_array_equal(read, codes)
