"""From a folder of somebody's audio and captions to a tuned checkpoint that plays."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from musicgen_rt.commands import train
from musicgen_rt.live.build import EngineOptions
from musicgen_rt.live.engine import Engine
from musicgen_rt.train.music import generate_clip
from tests.live.reference import Reference

CONFIG = """
[encode]
folder = "{0}/clips"
codec = "{1}"
audio = "{0}/music"
clip_seconds = 4.0
tracks_beats = true
tracks_melody = true
workers = 0

[lm]
run_folder = "{0}/lm-run"
data = "{0}/clips"
start = "{1}"
tune = "{2}"
steps = 3
threads = 1
lora = {{ rank = {3} }}
batch = {{ rows = 2, window_frames = 100 }}
optim = {{ optimizer = "adamw", learning_rate = 3e-2, warmup_steps = 1 }}
conditions = {{ clock = false, chroma = false, attributes = [] }}

[adapter]
run_folder = "{0}/adapter-run"
data = "{0}/clips"
start = "{1}"
steps = 3
threads = 1
batch = {{ rows = 2, window_frames = 100 }}
optim = {{ optimizer = "adamw", learning_rate = 3e-2, warmup_steps = 1 }}
conditions = {{ attributes = [] }}

[export]
run = "{0}/lm-run"
out = "{0}/model"

[adapter-export]
run = "{0}/adapter-run"
out = "{0}/adapted"
"""
PROMPT = "a song of mine"
FRAMES = 40


def run(config: Path, stage: str, table: str | None = None) -> None:
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    chosen = ["--table", table] if table else []
    arguments = parser.parse_args([stage, "--config", str(config), *chosen])
    assert train.run(arguments) == 0, stage


def settings(folder: Path, start: Path, tune: str, rank: int) -> Path:
    """Music of two rates, one piece with a caption, and the file of all stages."""
    (folder / "music").mkdir()
    for seed, rate_hz in ((3, 32_000), (8, 44_100)):
        clip = generate_clip(seed, 8.0, rate_hz)
        soundfile.write(folder / f"music/{seed}.flac", clip.samples, rate_hz)
    (folder / "music/3.txt").write_text(PROMPT + "\n", encoding="utf-8")
    config = folder / "mine.toml"
    config.write_text(CONFIG.format(folder, start, tune, rank), encoding="utf-8")
    return config


def engine_of(folder: Path) -> Engine:
    options = EngineOptions(window_seconds=4.0, context_seconds=2.0)
    engine = Engine.load(str(folder), device="cpu", weights="fp32", options=options)
    engine.set_prompt(PROMPT)
    engine.set_parameter("temperature", 0)
    return engine


@pytest.mark.parametrize(("tune", "rank"), [("full", 0), ("lora", 2)])
def test_a_tuned_checkpoint_plays_the_same_in_transformers(
    tiny_text: Path, tmp_path: Path, tune: str, rank: int
) -> None:
    pytest.importorskip("librosa")
    config = settings(tmp_path, tiny_text, tune, rank)
    for stage in ("encode", "lm", "export"):
        run(config, stage)
    engine = engine_of(tmp_path / "model")
    assert engine.model.text_attributes is None and engine.model.conditioner is None
    engine.step(FRAMES + 10)
    tuned, base = (
        Reference(folder).generate(PROMPT, FRAMES, guidance_scale=3.0)
        for folder in (tmp_path / "model", tiny_text)
    )
    assert np.array_equal(engine.codes(0, FRAMES), tuned)
    assert not np.array_equal(tuned, base), "it was tuned"


def test_an_adapter_from_tracked_beats_leaves_the_base_and_hears_the_clock(
    tiny_text: Path, tmp_path: Path
) -> None:
    pytest.importorskip("librosa")
    config = settings(tmp_path, tiny_text, "full", 0)
    for stage, table in (("encode", None), ("adapter", None), ("export", "adapter-export")):
        run(config, stage, table)
    adapted = tmp_path / "adapted"
    bare, base = (
        Reference(folder).generate(PROMPT, FRAMES, guidance_scale=3.0)
        for folder in (adapted, tiny_text)
    )
    assert np.array_equal(bare, base), "transformers, which knows no adapter, plays the base"
    played = []
    for bpm in (None, 90.0, 150.0):
        engine = engine_of(adapted)
        if bpm is not None:
            engine.set_tempo(bpm)
        engine.step(FRAMES + 10)
        played.append(engine.codes(0, FRAMES))
    assert not np.array_equal(played[0], played[1]) and not np.array_equal(played[1], played[2])
    stored = json.loads((adapted / "config.json").read_text(encoding="utf-8"))
    assert stored["frame_conditioning"]["clock"] and stored["frame_conditioning"]["chroma"]
