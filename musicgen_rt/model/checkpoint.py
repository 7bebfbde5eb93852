"""A checkpoint folder: found, checked as a whole, and then read tensor by tensor.

Nothing is used before every file's layout, and every tensor's name, shape and dtype, is known to be
right, so that a damaged checkpoint fails at once with a clear reason and never in mid-performance.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from safetensors import safe_open

from musicgen_rt.errors import CheckpointError
from musicgen_rt.model import text
from musicgen_rt.model.codec_weights import expected_shapes as codec_shapes
from musicgen_rt.model.config import ModelConfig
from musicgen_rt.model.expected_shapes import Shape, frame_conditioning_shapes, lm_shapes
from musicgen_rt.model.safetensors_file import FLOAT_DTYPES, TensorEntry, read_header

WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
FRAME_CONDITIONING_WEIGHTS = "frame_conditioning.safetensors"
CODEC_PREFIX = "audio_encoder."

_PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".th")
_MAX_JSON_BYTES = 64_000_000
_MAX_SHARDS = 1000
_FAULTS_SHOWN = 5
# Files written before torch had parametrizations spell weight norm the second way.
_WEIGHT_NORM = (
    (".weight_g", ".parametrizations.weight.original0"),
    (".weight_v", ".parametrizations.weight.original1"),
)


@dataclass(frozen=True)
class _Stored:
    """Where a tensor is: its file, its name in there and what the header says of it."""

    path: Path
    name: str
    entry: TensorEntry


class Checkpoint:
    """An opened, fully checked checkpoint. Use as a context manager, or close it.

    Tensors are memory-mapped: reading one costs nothing until its values are touched. One thread
    at a time.
    """

    def __init__(self, folder: Path, config: ModelConfig, stored: dict[str, _Stored]) -> None:
        self.folder = folder
        self.config = config
        self._stored = stored
        self._files: dict[Path, Any] = {}

    @classmethod
    def open(cls, folder: Path) -> Checkpoint:
        """Open a folder in transformers' layout, whole or in shards, symbolic links included.

        Raises CheckpointError naming the file, the field or tensor, what was found and what was
        expected; pickled weights are refused unopened.
        """
        config = read_config(folder)
        stored = _find_weights(folder)
        layout = text.TextEncoderLayout.from_json(config.text_encoder_json)
        for names in layout.ties:
            _share(stored, [text.PREFIX + name for name in names])
        expected = (
            lm_shapes(config)
            | _prefixed(CODEC_PREFIX, codec_shapes(config.codec_json))
            | _prefixed(text.PREFIX, layout.shapes)
        )
        _check_tensors(folder, stored, expected)
        stored.update(_find_frame_conditioning(folder, config))
        return cls(folder, config, stored)

    def names(self) -> tuple[str, ...]:
        """The names of all tensors, weight norm in torch's present spelling."""
        return tuple(self._stored)

    def tensor(self, name: str) -> torch.Tensor:
        """Return a tensor as stored, on the CPU. Do not write to it.

        Raises CheckpointError if there is no tensor of this name.
        """
        stored = self._stored.get(_canonical(name))
        if stored is None:
            raise CheckpointError(f"{self.folder}: there is no tensor {name!r} in this checkpoint")
        file = self._files.get(stored.path)
        if file is None:
            file = self._files[stored.path] = _map_file(stored.path)
        tensor: torch.Tensor = file.get_tensor(stored.name)
        return tensor

    def close(self) -> None:
        """Let go of the files; tensors that were read stay valid."""
        self._files.clear()

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def read_config(folder: Path) -> ModelConfig:
    """Read and check the JSON files of a checkpoint folder. Raises CheckpointError."""
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder; expected a MusicGen checkpoint's folder")
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"{folder}: it has no config.json; expected a MusicGen checkpoint in the layout of "
            "transformers' save_pretrained"
        )
    try:
        return ModelConfig.from_json(
            _read_json(folder / "config.json"),
            generation=_read_json_if_there(folder / "generation_config.json"),
            preprocessor=_read_preprocessor(folder),
        )
    except CheckpointError as error:
        raise CheckpointError(f"{folder}: {error}") from error


def _read_json_if_there(path: Path) -> dict[str, Any] | None:
    return _read_json(path) if path.is_file() else None


def _read_preprocessor(folder: Path) -> dict[str, Any] | None:
    """The feature extractor's values; transformers 5 nests them in processor_config.json."""
    values = _read_json_if_there(folder / "preprocessor_config.json")
    if values is not None:
        return values
    nested = (_read_json_if_there(folder / "processor_config.json") or {}).get("feature_extractor")
    return nested if isinstance(nested, dict) else None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        size = path.stat().st_size
        if size > _MAX_JSON_BYTES:
            raise CheckpointError(f"{path.name} has {size} bytes, expected <= {_MAX_JSON_BYTES}")
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path.name} cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path.name} is not JSON ({error})") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path.name} holds a {type(values).__name__}, expected an object")
    return values


def _find_weights(folder: Path) -> dict[str, _Stored]:
    if (folder / WEIGHTS).exists() or (folder / WEIGHTS).is_symlink():
        return _index([(folder / WEIGHTS, None)])
    if (folder / WEIGHTS_INDEX).is_file():
        return _index(_shards(folder).items())
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLE_SUFFIXES)
    if pickled:
        raise CheckpointError(
            f"{folder}: its weights are pickled ({pickled[0]}); pickle can run code and is refused "
            f"unopened, expected {WEIGHTS}; convert them where you trust them: load with "
            "transformers' from_pretrained, then save_pretrained writes safetensors"
        )
    raise CheckpointError(f"{folder}: it has no weights, expected {WEIGHTS} or {WEIGHTS_INDEX}")


def _shards(folder: Path) -> dict[Path, set[str]]:
    """Each shard's path with the tensors that the index says are in it."""
    try:
        weight_map = _read_json(folder / WEIGHTS_INDEX).get("weight_map")
    except CheckpointError as error:
        raise CheckpointError(f"{folder}: {error}") from error
    if not isinstance(weight_map, Mapping) or not weight_map:
        raise CheckpointError(f"{folder / WEIGHTS_INDEX}: weight_map is not an object of names")
    shards: dict[Path, set[str]] = {}
    for name, file_name in weight_map.items():
        plain = isinstance(file_name, str) and Path(file_name).name == file_name
        if not plain or not file_name.endswith(".safetensors"):
            raise CheckpointError(
                f"{folder / WEIGHTS_INDEX}: weight_map has {str(file_name)[:80]!r}, expected the "
                "plain name of a .safetensors file in the same folder"
            )
        shards.setdefault(folder / file_name, set()).add(name)
    if len(shards) > _MAX_SHARDS:
        raise CheckpointError(
            f"{folder / WEIGHTS_INDEX}: {len(shards)} shards, expected at most {_MAX_SHARDS}"
        )
    return shards


def _index(files: Iterable[tuple[Path, set[str] | None]]) -> dict[str, _Stored]:
    """Check each file and list its tensors; with names given, exactly those must be in it."""
    stored: dict[str, _Stored] = {}
    for path, names in files:
        entries = read_header(path)
        absent = sorted((names or set()) - set(entries))
        if absent:
            raise CheckpointError(f"{path}: tensor {absent[0]!r} is missing, the index has it here")
        for name in entries if names is None else names:
            stored[_canonical(name)] = _Stored(path, name, entries[name])
    return stored


def _prefixed(prefix: str, shapes: dict[str, Shape]) -> dict[str, Shape]:
    return {prefix + name: shape for name, shape in shapes.items()}


def _canonical(name: str) -> str:
    for old, new in _WEIGHT_NORM:
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name


def _share(stored: dict[str, _Stored], names: list[str]) -> None:
    """Make a tensor that is stored once readable under each of its names."""
    present = [stored[name] for name in names if name in stored]
    if present:
        for name in names:
            stored.setdefault(name, present[0])


def _find_frame_conditioning(folder: Path, config: ModelConfig) -> dict[str, _Stored]:
    path = folder / FRAME_CONDITIONING_WEIGHTS
    if config.frame_conditioning is None:
        if path.exists():
            raise CheckpointError(
                f"{path}: present, but config.json has no frame_conditioning that describes it"
            )
        return {}
    stored = _index([(path, None)])
    expected = frame_conditioning_shapes(config.frame_conditioning, config.lm.d_model)
    _check_tensors(folder, stored, expected)
    return stored


def _check_tensors(folder: Path, stored: dict[str, _Stored], expected: dict[str, Shape]) -> None:
    """Raise CheckpointError listing the first tensors that are missing or not as expected."""
    files = sorted({item.path.name for item in stored.values()})
    where = files[0] if len(files) == 1 else f"{len(files)} files"
    faults = []
    for name, shape in expected.items():
        item = stored.get(name)
        if item is None:
            faults.append(f"{where}: tensor {name} is missing, expected {list(shape)}")
        elif item.entry.shape != shape:
            found = f"has shape {list(item.entry.shape)}, expected {list(shape)}"
            faults.append(f"{item.path.name}: tensor {name} {found}")
        elif item.entry.dtype not in FLOAT_DTYPES:
            found = f"is {item.entry.dtype}, expected one of {', '.join(FLOAT_DTYPES)}"
            faults.append(f"{item.path.name}: tensor {name} {found}")
    if faults:
        more = len(faults) - _FAULTS_SHOWN
        tail = f" (and {more} more)" if more > 0 else ""
        listed = "; ".join(faults[:_FAULTS_SHOWN])
        raise CheckpointError(f"{folder}: the weights do not fit config.json: {listed}{tail}")


def _map_file(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt", device="cpu")
    except Exception as error:
        raise CheckpointError(f"{path}: cannot be opened ({error})") from error
