"""Writing a checkpoint folder: complete or not at all, its tensors made one after the other."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tqdm import tqdm

from musicgen_rt.errors import CheckpointError
from musicgen_rt.model.checkpoint import WEIGHTS, WEIGHTS_INDEX

# One shard is what is held in memory at a time.
_SHARD_BYTES = 1 << 30
_METADATA = {"format": "pt"}  # transformers refuses files without it


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to write in, which gets the name `out` when the block ends well.

    Raises CheckpointError if `out` is not new or empty, or cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CheckpointError(f"{out}: exists and is not an empty folder; choose a new one")
    partial = out.parent / f".{out.name}.partial-{os.getpid()}"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
        yield partial
        if out.exists():
            out.rmdir()
        partial.rename(out)
    except OSError as error:
        raise CheckpointError(f"{out}: cannot be written ({error.strerror})") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write an object as a JSON file."""
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def write_weights(
    folder: Path, num_bytes: Mapping[str, int], make: Callable[[str], torch.Tensor]
) -> None:
    """Write the named tensors as model.safetensors, or as shards and their index.

    `num_bytes` is each one's size; `make(name)` is asked for one after the other. Raises
    CheckpointError if the disk has no room.
    """
    check_room(folder, sum(num_bytes.values()))
    files = _files(num_bytes)
    with tqdm(
        total=sum(num_bytes.values()), unit="B", unit_scale=True, desc="weights", disable=None
    ) as bar:
        for file_name, names in files.items():
            tensors = {}
            for name in names:
                tensors[name] = make(name)
                bar.update(tensors[name].nbytes)
            write_tensors(folder / file_name, tensors)
    if WEIGHTS not in files:
        weight_map = {name: file for file, names in files.items() for name in names}
        metadata = {"total_size": sum(num_bytes.values())}
        write_json(folder / WEIGHTS_INDEX, {"metadata": metadata, "weight_map": weight_map})


def write_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write one safetensors file that transformers and other users can read."""
    save_file(tensors, path, metadata=_METADATA)
    # safetensors makes its files private; other users may read the rest of the folder.
    path.chmod((path.parent / "config.json").stat().st_mode)


def check_room(folder: Path, needed_bytes: int) -> None:
    """Raise CheckpointError unless the disk of a folder has so many bytes free."""
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        raise CheckpointError(
            f"{folder.parent}: {needed_bytes / 1e9:.1f} GB are needed, {free_bytes / 1e9:.1f} GB "
            "are free; choose another disk or a smaller checkpoint"
        )


def num_bytes_of(shape: tuple[int, ...], dtype: torch.dtype) -> int:
    """Bytes that a tensor takes."""
    return math.prod(shape) * dtype.itemsize


def _files(num_bytes: Mapping[str, int]) -> dict[str, list[str]]:
    """Divide the tensors among files of at most a shard's size, named as transformers does."""
    shards: list[list[str]] = [[]]
    shard_bytes = 0
    for name, size in num_bytes.items():
        if shards[-1] and shard_bytes + size > _SHARD_BYTES:
            shards.append([])
            shard_bytes = 0
        shards[-1].append(name)
        shard_bytes += size
    if len(shards) == 1:
        return {WEIGHTS: shards[0]}
    count = len(shards)
    return {f"model-{i:05}-of-{count:05}.safetensors": part for i, part in enumerate(shards, 1)}
