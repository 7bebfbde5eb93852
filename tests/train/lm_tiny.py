"""Small things to train on: a codec with random weights, clips that were never sounds, a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from musicgen_rt.train.codec_export import export_codec
from musicgen_rt.train.codec_model import CodecModel, CodecShape
from musicgen_rt.train.lm_config import (
    BatchConfig,
    LMOptimConfig,
    LMShape,
    LMTrainConfig,
    TextShape,
)
from musicgen_rt.train.lm_records import (
    ROLES,
    ClipRecord,
    FrameTruth,
    StatedCaption,
    write_shard,
)

CODEBOOKS, CODES = 4, 16
SHAPE = LMShape(
    d_model=32,
    layers=2,
    heads=2,
    ffn_dim=64,
    text=TextShape(d_model=16, layers=1, heads=2, head_dim=8, ffn_dim=32),
)


def write_codec(folder: Path) -> Path:
    """A codec's folder, with random weights."""
    torch.manual_seed(0)
    shape = CodecShape(filters=2, latent_channels=8, codebooks=CODEBOOKS, codebook_size=CODES)
    model = CodecModel(shape)
    with torch.no_grad():
        for codebook in model.quantizer.codebooks():
            codebook.embed.normal_()
    export_codec(model, folder)
    return folder


def random_truth(rng: np.random.Generator, frames: int, bpm: float = 120.0) -> FrameTruth:
    """A steady clock of four beats a bar with random melody and roles."""
    beats = np.arange(frames) / 50 * bpm / 60 + rng.random() * 4
    return FrameTruth(
        np.mod(beats / 4, 1).astype(np.float32),
        np.mod(beats, 1).astype(np.float32),
        np.full(frames, bpm, np.float32),
        np.full(frames, 4, np.uint8),
        rng.integers(0, 13, frames).astype(np.uint8),
        rng.integers(0, 2, (len(ROLES), frames)).astype(np.uint8),
    )


def random_clip(
    seed: int, frames: int = 260, codebooks: int = CODEBOOKS, codes: int = CODES
) -> ClipRecord:
    """A clip whose codes are noise, with a caption that states its tempo."""
    rng = np.random.default_rng(seed)
    bpm = 100 + 10 * (seed % 5)
    return ClipRecord(
        str(seed),
        rng.integers(0, codes, (codebooks, frames)).astype(np.uint16),
        random_truth(rng, frames, bpm),
        (StatedCaption(f"house, {bpm} bpm", {"style": "house", "bpm": bpm}),),
        {"style": "house", "bpm": bpm, "key": "A minor", "drums": True, "bass": False},
    )


def write_clips(folder: Path, count: int = 4, **options: Any) -> Path:
    """A folder of encoded clips, in shards of three."""
    folder.mkdir(parents=True, exist_ok=True)
    records = [random_clip(seed, **options) for seed in range(count)]
    for index in range(0, count, 3):
        write_shard(folder / f"shard-{index:05}.safetensors", records[index : index + 3])
    return folder


def tiny_run(folder: Path, **changes: Any) -> LMTrainConfig:
    """A run of some steps in `folder`, with its own codec and clips there."""
    if not changes.get("start"):
        changes.setdefault("codec", str(write_codec(folder / "codec")))
    if "data" not in changes:
        changes["data"] = str(write_clips(folder / "clips"))
    config = LMTrainConfig(
        run_folder=str(folder / "run"),
        data=changes.pop("data"),
        steps=changes.pop("steps", 6),
        codec=changes.pop("codec", ""),
        start=changes.pop("start", ""),
        tune=changes.pop("tune", "full"),
        lora=changes.pop("lora", LMTrainConfig("r", "d", 1, codec="c").lora),
        threads=1,
        report_steps=2,
        shape=SHAPE,
        batch=BatchConfig(rows=3, window_frames=40),
        optim=LMOptimConfig(warmup_steps=2),
    )
    return replace(config, **changes)
