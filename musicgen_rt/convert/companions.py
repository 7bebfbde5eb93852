"""What an audiocraft checkpoint only names: its T5 with the tokenizer, and at times its codec.

Both come from folders in transformers' layout, or from the hub by their name.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from musicgen_rt.errors import CheckpointError
from musicgen_rt.model import hub
from musicgen_rt.model.safetensors_file import TensorEntry, read_header

_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
_T5_ORGANISATION = "google-t5"
_MAX_JSON_BYTES = 64_000_000
# Beside the weights and what describes them: the tokenizer's files, by how their names end.
_TOKENIZER_SUFFIXES = (".json", ".model", ".txt")
_NOT_TOKENIZER = ("config.json", "generation_config.json", "preprocessor_config.json", _INDEX)


@dataclass(frozen=True)
class Companion:
    """A model's folder: its config.json and where its tensors are."""

    folder: Path
    config: Mapping[str, Any]
    entries: Mapping[str, TensorEntry]
    files: Mapping[str, Path]

    @classmethod
    def open(cls, folder: Path) -> Companion:
        """Raises CheckpointError if the folder has no config or no sound safetensors weights."""
        config = _json(folder / "config.json")
        paths = [folder / _WEIGHTS]
        if (folder / _INDEX).is_file():
            weight_map = _json(folder / _INDEX).get("weight_map")
            if not isinstance(weight_map, dict):
                raise CheckpointError(f"{folder / _INDEX}: it has no weight_map")
            names = sorted({str(name) for name in weight_map.values()})
            if any(Path(name).name != name for name in names):
                raise CheckpointError(f"{folder / _INDEX}: expected plain names of files")
            paths = [folder / name for name in names]
        entries: dict[str, TensorEntry] = {}
        files: dict[str, Path] = {}
        for path in paths:
            found = read_header(path)
            entries |= found
            files |= dict.fromkeys(found, path)
        return cls(folder, config, entries, files)

    def tensor(self, name: str) -> torch.Tensor:
        """A tensor on the CPU as it is stored."""
        with safe_open(self.files[name], framework="pt", device="cpu") as file:
            tensor: torch.Tensor = file.get_tensor(name)
            return tensor

    def copy_tokenizer(self, out: Path) -> None:
        """Copy the tokenizer's files to the folder `out`."""
        for path in sorted(self.folder.iterdir()):
            if path.suffix in _TOKENIZER_SUFFIXES and path.name not in _NOT_TOKENIZER:
                shutil.copyfile(path, out / path.name)


def find_text_encoder(given: str | None, t5_name: str) -> Companion:
    """The T5 in the folder or of the hub id `given`, by default the one that is named.

    Raises CheckpointError saying how to give one.
    """
    default = t5_name if "/" in t5_name else f"{_T5_ORGANISATION}/{t5_name}"
    return _find(given or default, f"its text encoder {t5_name}", "--text-encoder")


def find_codec(given: str | None, codec_name: str) -> Companion:
    """The EnCodec in the folder or of the hub id `given`, by default the one that is named."""
    return _find(given or codec_name.removeprefix("//pretrained/"), "its codec", "--codec")


def _find(source: str, what: str, option: str) -> Companion:
    try:
        return Companion.open(hub.resolve(source, needed=("config.json",)))
    except CheckpointError as error:
        raise CheckpointError(
            f"{what} is not in the checkpoint and was looked for: {error}; {option} names a folder "
            "in transformers' layout with safetensors weights"
        ) from error


def _json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise CheckpointError(f"{path}: expected at most {_MAX_JSON_BYTES} bytes")
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: expected a JSON object")
    return values
