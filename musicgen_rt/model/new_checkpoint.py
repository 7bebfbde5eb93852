"""Write a MusicGen checkpoint of random weights: the real shapes and files, without a download.

For tests, timings and trying out an installation; its music is noise. Transformers'
`from_pretrained` loads what is written here as it loads the official checkpoints.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tqdm import tqdm
from transformers import ByT5Tokenizer, EncodecConfig, EncodecModel

from musicgen_rt.errors import CheckpointError, ParameterError
from musicgen_rt.model import text
from musicgen_rt.model.checkpoint import (
    CODEC_PREFIX,
    FRAME_CONDITIONING_WEIGHTS,
    WEIGHTS,
    WEIGHTS_INDEX,
)
from musicgen_rt.model.config import ModelConfig
from musicgen_rt.model.expected_shapes import Shape, frame_conditioning_shapes, lm_shapes
from musicgen_rt.model.presets import DTYPES, Preset
from musicgen_rt.model.random_weights import random_tensor

# One shard is what is held in memory at a time.
_SHARD_BYTES = 1 << 30
_METADATA = {"format": "pt"}  # transformers refuses files without it


def write_checkpoint(
    like: str,
    out: Path,
    *,
    tiny: bool = False,
    seed: int = 0,
    frame_conditioning: bool = False,
    dtype: str = "fp32",
) -> None:
    """Write a checkpoint like the official one named `like` into the new folder `out`.

    `tiny` keeps the structure with small dimensions. The folder appears complete or not at all.
    The tokenizer is ByT5's, which needs no vocabulary file.
    Raises ParameterError for an unknown `like` or `dtype`, CheckpointError if the folder is not
    empty, cannot be written or the disk has no room.
    """
    if dtype not in DTYPES:
        raise ParameterError(f"dtype {dtype!r}: expected one of {', '.join(DTYPES)}")
    if not 0 <= seed < 1 << 63:
        raise ParameterError(f"seed {seed}: expected 0..{(1 << 63) - 1}")
    preset = Preset.like(like, tiny=tiny)
    _check_target(out)
    partial = out.parent / f".{out.name}.partial-{os.getpid()}"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
        config = _write_json_files(
            partial, preset, dtype=dtype, frame_conditioning=frame_conditioning
        )
        _write_weights(partial, config, getattr(torch, DTYPES[dtype]), seed)
        if out.exists():
            out.rmdir()
        partial.rename(out)
    except OSError as error:
        raise CheckpointError(f"{out}: cannot be written ({error.strerror})") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check_target(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CheckpointError(f"{out}: exists and is not an empty folder; choose a new one")


def _write_json_files(
    folder: Path, preset: Preset, *, dtype: str, frame_conditioning: bool
) -> ModelConfig:
    config = preset.config(dtype=dtype, frame_conditioning=frame_conditioning)
    generation, preprocessor = preset.generation_config(), preset.preprocessor_config()
    _write_json(folder / "config.json", config)
    _write_json(folder / "generation_config.json", generation)
    _write_json(folder / "preprocessor_config.json", preprocessor)
    ByT5Tokenizer().save_pretrained(folder)
    return ModelConfig.from_json(config, generation=generation, preprocessor=preprocessor)


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _write_weights(folder: Path, config: ModelConfig, dtype: torch.dtype, seed: int) -> None:
    shapes = _main_shapes(config)
    files = _files(shapes, dtype.itemsize)
    if config.frame_conditioning is not None:
        files[FRAME_CONDITIONING_WEIGHTS] = frame_conditioning_shapes(
            config.frame_conditioning, config.lm.d_model
        )
    total_bytes = sum(_num_bytes(part, dtype.itemsize) for part in files.values())
    _check_room(folder, total_bytes)
    with tqdm(total=total_bytes, unit="B", unit_scale=True, desc="weights", disable=None) as bar:
        for file_name, part in files.items():
            tensors = {}
            for name, shape in part.items():
                tensors[name] = random_tensor(name, shape, config, seed).to(dtype)
                bar.update(tensors[name].nbytes)
            save_file(tensors, folder / file_name, metadata=_METADATA)
            # safetensors makes its files private; other users may read the rest of the folder.
            (folder / file_name).chmod((folder / "config.json").stat().st_mode)
    if WEIGHTS not in files:
        total = {"total_size": _num_bytes(shapes, dtype.itemsize)}
        weight_map = {name: file for file, part in files.items() for name in part if name in shapes}
        _write_json(folder / WEIGHTS_INDEX, {"metadata": total, "weight_map": weight_map})


def _main_shapes(config: ModelConfig) -> dict[str, Shape]:
    """Everything in model.safetensors, tensors that share storage once."""
    shapes = lm_shapes(config)
    layout = text.TextEncoderLayout.from_json(config.text_encoder_json)
    repeated = {name for names in layout.ties for name in names[1:]}
    for name, shape in layout.shapes.items():
        if name not in repeated:
            shapes[text.PREFIX + name] = shape
    # The codec has buffers that only training reads; transformers wants them all the same.
    with torch.device("meta"):
        codec = EncodecModel(EncodecConfig(**config.codec_json))
    for name, tensor in codec.state_dict().items():
        shapes[CODEC_PREFIX + name] = tuple(tensor.shape)
    return shapes


def _files(shapes: dict[str, Shape], item_bytes: int) -> dict[str, dict[str, Shape]]:
    """Divide the tensors among files of at most a shard's size, named as transformers does."""
    shards: list[dict[str, Shape]] = [{}]
    shard_bytes = 0
    for name, shape in shapes.items():
        num_bytes = math.prod(shape) * item_bytes
        if shards[-1] and shard_bytes + num_bytes > _SHARD_BYTES:
            shards.append({})
            shard_bytes = 0
        shards[-1][name] = shape
        shard_bytes += num_bytes
    if len(shards) == 1:
        return {WEIGHTS: shards[0]}
    count = len(shards)
    return {f"model-{i:05}-of-{count:05}.safetensors": part for i, part in enumerate(shards, 1)}


def _num_bytes(shapes: dict[str, Shape], item_bytes: int) -> int:
    return sum(math.prod(shape) for shape in shapes.values()) * item_bytes


def _check_room(folder: Path, needed_bytes: int) -> None:
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        raise CheckpointError(
            f"{folder.parent}: {needed_bytes / 1e9:.1f} GB are needed, {free_bytes / 1e9:.1f} GB "
            "are free; choose another disk, --dtype bf16 or --tiny"
        )
