"""Recipes: their ranges, and that they come back from JSON as they were."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr

from musicgen_rt.errors import AudioFileError, ParameterError, PromptError
from musicgen_rt.live.melody import melody_from_notes
from musicgen_rt.live.prompt import Prompt
from musicgen_rt.model.notes import Note
from musicgen_rt.offline.given_frames import GivenFrames, read_end
from musicgen_rt.offline.recipe import NUMBERS, Recipe, text_capacity_for

RATE_HZ = 32000


def noise(channels: int, num_samples: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.uniform(-0.5, 0.5, (channels, num_samples)).astype(np.float32)


def full_recipe() -> Recipe:
    return Recipe(
        model="somewhere",
        seconds=12.5,
        prompts=(Prompt("drums: 4 on the floor"), Prompt("strings — łagodnie", -0.5)),
        negative="noise",
        melody=melody_from_notes([Note(60, 0.0, 0.5, 100)], loop_seconds=2.0),
        given=GivenFrames.of(np.array([[1, 65_535, 3], [4, 5, 6]])),
        includes_given=False,
        parameters={"seed": 2**53 + 1, "temperature": 0.9},
        bpm=123.4,
        beats_per_bar=7,
        attributes={"drums": True, "bass": False},
        device="cpu",
        compile=True,
        threads=2,
        loudness_lufs=-16.0,
    )


def test_a_recipe_comes_back_from_json() -> None:
    recipe = full_recipe()
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


@pytest.mark.parametrize(
    "change",
    [
        {"unknown": 1},
        {"prompts": [{"text": "x", "loudness": 1}]},
        {"prompts": [{"text": "x", "weight": "heavy"}]},
        {"prompts": [{"text": ""}]},
        {"seconds": "long"},
        {"seconds": True},
        {"seconds": math.nan},
        {"parameters": {"speed": 1}},
        {"parameters": {"seed": -1}},
        {"parameters": {"temperature": math.inf}},
        {"attributes": {"drums": "on"}},
        {"attributes": ["drums"]},
        {"prompts": "x"},
        {"prompts": [{"text": 3}]},
        {"model": None},
        {"device": 3},
        {"compile": 1},
        {"includes_given": "yes"},
        {"melody": {"kind": "song"}},
        {"given": {}},
        {"given": {"codebooks": 2, "uint16_by_frame": "!"}},
        {"given": {"codebooks": 2, "uint16_by_frame": ""}},
        {"given": {"codebooks": 2, "uint16_by_frame": "AAAA"}},
        {"given": {"codebooks": 0, "uint16_by_frame": "AAAA"}},
        {"given": {"codebooks": -1, "uint16_by_frame": "AAAA"}},
        {"beats_per_bar": 4, "bpm": None},
        {"window_seconds": 20.0, "context_seconds": 20.0},
        {"chunk_frames": 1.5},
    ],
)
def test_damaged_json_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ParameterError):
        Recipe.from_json(full_recipe().to_json() | change)


def test_other_json_is_refused() -> None:
    value = full_recipe().to_json()
    del value["prompts"]
    nonsense: Any
    for nonsense in (value, [], None, "text"):
        with pytest.raises(ParameterError, match="not a recipe"):
            Recipe.from_json(nonsense)


@pytest.mark.parametrize("name", sorted(NUMBERS))
def test_ranges(name: str) -> None:
    number = NUMBERS[name]
    # A tempo for the signature, and a window and a context that leave each other room.
    base = replace(full_recipe(), window_seconds=600.0, context_seconds=0.4)
    change: dict[str, Any]
    step = 1 if number.is_whole else 1e-3
    for beyond in (number.low - step, number.high + step, math.nan):
        change = {name: beyond}
        with pytest.raises(ParameterError, match=name):
            replace(base, **change)
    if name not in ("window_seconds", "context_seconds"):
        for within in (number.low, number.high):
            change = {name: int(within) if number.is_whole else within}
            assert getattr(replace(base, **change), name) == within


@pytest.mark.parametrize("text", ["", "   ", "x" * 1_000_000, "two\nlines", "bell\a"])
def test_prompts_are_checked(text: str) -> None:
    for change in ({"prompts": (Prompt(text),)}, {"negative": text}):
        with pytest.raises(PromptError) as error:
            replace(full_recipe(), **change)
        assert len(str(error.value)) < 200


def test_at_most_eight_prompts() -> None:
    assert len(replace(full_recipe(), prompts=(Prompt("x"),) * 8).prompts) == 8
    with pytest.raises(ParameterError, match="9 prompts"):
        replace(full_recipe(), prompts=(Prompt("x"),) * 9)


def test_text_capacity_comes_in_steps() -> None:
    asked = [0, 1, 64, 65, 128, 129, 500, 10_000]
    assert [text_capacity_for(one) for one in asked] == [64, 64, 64, 128, 128, 192, 512, 512]


def test_given_frames_come_back() -> None:
    codes = np.array([[0, 1, 2, 65_535], [5, 6, 7, 8]])
    given = GivenFrames.of(codes)
    again = GivenFrames.from_json(json.loads(json.dumps(given.to_json())))
    assert again == given
    assert again.codes.dtype == np.int64
    np.testing.assert_array_equal(again.codes, codes)


@pytest.mark.parametrize(("file_channels", "channels"), [(1, 1), (2, 1), (1, 2), (2, 2), (6, 1)])
def test_the_end_of_a_file(tmp_path: Path, file_channels: int, channels: int) -> None:
    samples = noise(file_channels, 200_000)  # more than two blocks
    soundfile.write(tmp_path / "a.wav", samples.T, 48_000, subtype="FLOAT")
    read = read_end(tmp_path / "a.wav", RATE_HZ, channels, max_seconds=1.0)
    tail = samples[:, -48_000:]
    if channels == 1:
        tail = tail.mean(axis=0, keepdims=True)
    expected = soxr.resample(np.broadcast_to(tail, (channels, 48_000)).T, 48_000, RATE_HZ).T
    np.testing.assert_allclose(read, expected, atol=1e-6)


def test_a_short_file_is_read_whole(tmp_path: Path) -> None:
    samples = noise(1, 1234)
    soundfile.write(tmp_path / "a.wav", samples.T, RATE_HZ, subtype="FLOAT")
    np.testing.assert_array_equal(read_end(tmp_path / "a.wav", RATE_HZ, 1, 30.0), samples)


def test_files_that_cannot_be_continued(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "surround.wav", noise(6, 1000).T, RATE_HZ)
    with pytest.raises(AudioFileError, match="6 channels"):
        read_end(tmp_path / "surround.wav", RATE_HZ, 2, 30.0)
    with pytest.raises(AudioFileError, match="does not exist"):
        read_end(tmp_path / "missing.wav", RATE_HZ, 1, 30.0)
