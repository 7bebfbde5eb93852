"""Heads that read prompts: only what the clips taught them is exported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from musicgen_rt.errors import ParameterError
from musicgen_rt.model.musicgen import MusicGen
from musicgen_rt.model.text_attributes import TEXT_ATTRIBUTES_WEIGHTS, TextAttributes
from musicgen_rt.train.lm import LMTrainer, train_lm
from musicgen_rt.train.lm_config import LMOptimConfig, LMTrainConfig
from musicgen_rt.train.lm_export import export_run
from musicgen_rt.train.lm_foundation import load_foundation
from musicgen_rt.train.lm_processes import Processes
from musicgen_rt.train.lm_records import StatedCaption, write_shard
from tests.train.lm_tiny import random_clip, tiny_run


def write_clips(folder: Path, facts: dict[str, Any], texts: tuple[str, ...] = ("a song",)) -> str:
    """Clips as those of a folder of audio: captions that state no facts, and what else is known."""
    folder.mkdir(parents=True)
    stated = tuple(StatedCaption(text, {}) for text in texts)
    clips = [replace(random_clip(seed), captions=stated, facts=facts) for seed in range(3)]
    write_shard(folder / "shard-00000.safetensors", clips)
    return str(folder)


def exported(config: LMTrainConfig, out: Path) -> Path:
    train_lm(config)
    export_run(Path(config.run_folder), out)
    return out


def test_captions_alone_teach_no_reading(tmp_path: Path) -> None:
    config = tiny_run(tmp_path, data=write_clips(tmp_path / "clips", {"key": "A minor"}))
    out = exported(config, tmp_path / "out")
    assert not (out / TEXT_ATTRIBUTES_WEIGHTS).exists()
    assert MusicGen.load(str(out), device="cpu").text_attributes is None
    with pytest.raises(ParameterError, match="text_warmup_steps is 2 and nothing teaches"):
        train_lm(replace(config, run_folder=str(tmp_path / "warm"), text_warmup_steps=2))


def test_what_nobody_taught_is_not_believed(tmp_path: Path) -> None:
    facts = {"bpm": 97, "bass": True}
    quick = LMOptimConfig(warmup_steps=1, learning_rate=3e-2, muon_learning_rate=5e-2)
    data = write_clips(tmp_path / "clips", facts)
    config = tiny_run(tmp_path, data=data, text_warmup_steps=30, optim=quick)
    read = TextAttributes.load(exported(config, tmp_path / "out")).predict("a song")
    assert read["bpm"] == 97
    assert read["style_confidence"] == pytest.approx(1 / 9)
    instruments = read["instruments"]
    assert instruments.pop("bass") > 0.6
    assert set(instruments.values()) == {0.5}


def test_a_start_that_reads_prompts_goes_on_reading_them(tmp_path: Path) -> None:
    start = exported(tiny_run(tmp_path / "first"), tmp_path / "start")
    data = write_clips(tmp_path / "clips", {})
    tuned = exported(tiny_run(tmp_path / "second", start=str(start), data=data), tmp_path / "tuned")
    before, after = (load_file(folder / TEXT_ATTRIBUTES_WEIGHTS) for folder in (start, tuned))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_clip_without_a_caption_has_the_null_text(tmp_path: Path) -> None:
    texts: dict[tuple[str, ...], bool] = {("a song",): True, (): False}
    for index, (captions, has_text) in enumerate(texts.items()):
        folder = tmp_path / str(index)
        config = tiny_run(folder, data=write_clips(folder / "clips", {"bpm": 90}, captions))
        config = replace(config, drop=replace(config.drop, text=0.0, everything=0.0))
        trainer = LMTrainer(config, load_foundation(config), Processes(0, 1, torch.device("cpu")))
        assert trainer.sampler.windows(0).has_text.tolist() == [has_text] * 3
        trainer.run_step()
