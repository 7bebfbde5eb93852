"""A run refuses conditioners that its clips cannot teach."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from musicgen_rt.errors import ParameterError
from musicgen_rt.model.config import FrameConditioningConfig
from musicgen_rt.train.lm import train_lm
from musicgen_rt.train.lm_config import ConditionShape
from musicgen_rt.train.lm_lessons import require_lessons
from musicgen_rt.train.lm_records import ClipLibrary, FrameTruth, write_shard
from tests.train.lm_tiny import random_clip, tiny_run

ALL = ConditionShape(attributes=("drums", "house")).to_model()


def library(folder: Path, **known: bool) -> ClipLibrary:
    """Two clips: nothing is known of the first, and of the second what is asked for."""
    clips = [random_clip(seed, frames=60) for seed in range(2)]
    nothing = FrameTruth.unknown(60)
    told = clips[1].truth if known.get("frames") else nothing
    if known.get("clock"):
        told = replace(told, bpm=clips[1].truth.bpm)
    clips = [
        replace(clip, truth=truth, facts={})
        for clip, truth in zip(clips, (nothing, told), strict=True)
    ]
    if known.get("style"):
        clips[1] = replace(clips[1], facts={"style": "rock"})
    folder.mkdir(parents=True, exist_ok=True)
    write_shard(folder / "shard-00000.safetensors", clips)
    return ClipLibrary(folder)


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({}, "the clock .* tracks_beats"),
        ({"clock": True}, "the melody .* tracks_melody"),
        ({"frames": True}, "house .* leave house out"),
        ({"style": True, "clock": True}, "the melody"),
    ],
)
def test_what_no_clip_tells_is_named(tmp_path: Path, known: dict[str, bool], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        require_lessons(library(tmp_path, **known), ALL, None)


def test_one_clip_that_tells_is_enough_and_what_was_learned_needs_none(tmp_path: Path) -> None:
    assert isinstance(ALL, FrameConditioningConfig)
    require_lessons(library(tmp_path / "told", frames=True, style=True), ALL, None)
    silent = library(tmp_path / "silent")
    require_lessons(silent, None, None)
    require_lessons(silent, ALL, ALL)
    with pytest.raises(ParameterError, match="drums"):
        require_lessons(silent, ALL, replace(ALL, attributes=("house",)))


def test_a_run_asks_before_it_begins(tmp_path: Path) -> None:
    silent = library(tmp_path / "clips")
    with pytest.raises(ParameterError, match="tracks_beats"):
        train_lm(tiny_run(tmp_path, data=str(silent.folder)))
