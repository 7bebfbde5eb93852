"""Check a safetensors file before anything in it is used.

The format: 8 bytes little-endian header length N, N bytes of JSON, then the tensors' bytes with no
gap. The header maps each name to `dtype`, `shape` and `data_offsets` relative to the end of the
header (huggingface/safetensors, README "Format"). Everything read here is hostile until checked.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from musicgen_rt.errors import CheckpointError

MAX_HEADER_BYTES = 100_000_000
FLOAT_DTYPES = ("F64", "F32", "F16", "BF16")

_LENGTH_BYTES = 8
_DTYPE_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "U16": 16, "I16": 16, "F16": 16, "BF16": 16,
    "U32": 32, "I32": 32, "F32": 32,
    "U64": 64, "I64": 64, "F64": 64, "C64": 64,
}  # fmt: skip
# How other formats begin, so that a wrong file is called by its name.
_FOREIGN_MAGIC = {
    b"PK\x03\x04": "a PyTorch pickle (zip); pickle can run code and is refused",
    b"\x80\x02": "a Python pickle; pickle can run code and is refused",
    b"\x80\x04": "a Python pickle; pickle can run code and is refused",
    b"\x80\x05": "a Python pickle; pickle can run code and is refused",
    b"version ": "a Git LFS pointer, not the weights; run `git lfs pull` in its folder",
    b"\x89HDF": "an HDF5 file",
    b"GGUF": "a GGUF file",
}


@dataclass(frozen=True)
class TensorEntry:
    """Where one tensor lies: offsets are bytes after the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def read_header(path: Path) -> dict[str, TensorEntry]:
    """Return the tensors of a safetensors file whose layout is sound in every respect.

    Raises CheckpointError naming the file if it is missing, not a regular file, of another format,
    cut short at any byte or longer than its header says, or if tensors overlap or leave gaps.
    """
    file_bytes = _size_of(path)
    header_bytes, raw = _read_raw_header(path, file_bytes)
    entries = {
        name: _parse_entry(path, name, value)
        for name, value in _parse_json(path, raw).items()
        if name != "__metadata__"
    }
    _check_coverage(path, entries, data_begin=_LENGTH_BYTES + header_bytes, file_bytes=file_bytes)
    return entries


def _size_of(path: Path) -> int:
    try:
        if not path.is_file():
            raise CheckpointError(f"{path}: no such file, or not a regular file")
        return path.stat().st_size
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error


def _read_raw_header(path: Path, file_bytes: int) -> tuple[int, bytes]:
    try:
        with path.open("rb") as file:
            start = file.read(_LENGTH_BYTES)
            for magic, what in _FOREIGN_MAGIC.items():
                if start.startswith(magic):
                    raise CheckpointError(f"{path}: not a safetensors file but {what}")
            if len(start) < _LENGTH_BYTES:
                raise _cut_short(path, file_bytes, f"at least {_LENGTH_BYTES + 2} bytes")
            header_bytes = int.from_bytes(start, "little")
            if not 2 <= header_bytes <= MAX_HEADER_BYTES:
                raise CheckpointError(
                    f"{path}: claims a header of {header_bytes} bytes, expected "
                    f"2..{MAX_HEADER_BYTES}: damaged, or not a safetensors file"
                )
            if _LENGTH_BYTES + header_bytes > file_bytes:
                expected = f"more than {_LENGTH_BYTES + header_bytes} bytes, its header alone"
                raise _cut_short(path, file_bytes, expected)
            return header_bytes, file.read(header_bytes)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error


def _cut_short(path: Path, file_bytes: int, expected: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: cut short: {file_bytes} bytes, expected {expected}; download or copy it again"
    )


def _parse_json(path: Path, raw: bytes) -> dict[str, Any]:
    try:
        header = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: its header is not JSON ({error}): damaged, or not a safetensors file"
        ) from error
    if not isinstance(header, dict):
        raise CheckpointError(f"{path}: its header is not a JSON object: not a safetensors file")
    return header


def _parse_entry(path: Path, name: str, value: object) -> TensorEntry:
    def bad(expected: str) -> CheckpointError:
        return CheckpointError(f"{path}: header entry of {name[:120]!r}: expected {expected}")

    if not isinstance(value, Mapping):
        raise bad("an object with dtype, shape and data_offsets")
    dtype, shape, offsets = (value.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not isinstance(dtype, str) or dtype not in _DTYPE_BITS:
        raise bad(f"a dtype of {', '.join(_DTYPE_BITS)}, found {str(dtype)[:40]!r}")
    if not _is_naturals(shape) or len(shape) > 8:
        raise bad("a shape of up to 8 whole numbers of at least 0")
    if not _is_naturals(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise bad("data_offsets [begin, end] with 0 <= begin <= end")
    begin, end = offsets
    num_bytes = math.prod(shape) * _DTYPE_BITS[dtype] // 8
    if end - begin != num_bytes:
        raise bad(f"{num_bytes} bytes for {dtype} {list(shape)}, found {end - begin}")
    return TensorEntry(dtype, tuple(shape), begin, end)


def _is_naturals(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _check_coverage(
    path: Path, entries: dict[str, TensorEntry], *, data_begin: int, file_bytes: int
) -> None:
    """The tensors must follow one another without gap or overlap up to the file's last byte."""
    position = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != position:
            fault = "overlaps the tensor before it" if entry.begin < position else "follows a gap"
            raise CheckpointError(
                f"{path}: tensor {name[:120]!r} begins at byte {entry.begin} of the data, expected "
                f"{position}: it {fault}"
            )
        position = entry.end
    expected_bytes = data_begin + position
    if file_bytes < expected_bytes:
        raise _cut_short(path, file_bytes, f"{expected_bytes} bytes")
    if file_bytes > expected_bytes:
        raise CheckpointError(
            f"{path}: {file_bytes} bytes, expected {expected_bytes}: there is something after the "
            "last tensor; download or copy it again"
        )
