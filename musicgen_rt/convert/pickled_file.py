"""A pickled audiocraft file as safe tensors and text, read by a process apart (`reader`)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from musicgen_rt.convert.reader import FACTS, STATE
from musicgen_rt.errors import CheckpointError
from musicgen_rt.model.safetensors_file import TensorEntry, read_header

_READER = "musicgen_rt.convert.reader"
# Long enough for a starved machine and a slow disk, short enough not to wait for ever.
_START_SECONDS = 300.0
_SLOWEST_BYTES_A_SECOND = 2e6
_KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR", "LANG", "SYSTEMROOT")
_ERROR_CHARACTERS = 600


@dataclass(frozen=True)
class PickledFile:
    """The content of one file: `facts` are its entries of text and numbers, tensors lie on disk."""

    path: Path
    facts: Mapping[str, Any]
    entries: Mapping[str, TensorEntry]
    state: Path

    def text(self, key: str) -> str | None:
        """An entry of text, None if there is none. Raises CheckpointError for any other kind."""
        value = self.facts.get(key)
        if value is not None and not isinstance(value, str):
            raise CheckpointError(f"{self.path}: {key} is {value!r}, expected text")
        return value

    def tensor(self, name: str) -> torch.Tensor:
        """A tensor on the CPU as it was stored."""
        with safe_open(self.state, framework="pt", device="cpu") as file:
            tensor: torch.Tensor = file.get_tensor(name)
            return tensor


def read_pickled(path: Path, scratch: Path) -> PickledFile:
    """Read a file that torch.save wrote, leaving its tensors in the new folder `scratch`.

    Raises CheckpointError naming the file for anything but tensors and text, for a file that is
    damaged or of another kind, and if the reading takes unreasonably long.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    scratch.mkdir()
    _run_reader(path, scratch)
    try:
        facts = json.loads((scratch / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: reading it left nothing behind ({error})") from error
    state = scratch / STATE
    return PickledFile(path, facts, read_header(state), state)


def _run_reader(path: Path, scratch: Path) -> None:
    environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    environment |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    limit_seconds = _START_SECONDS + path.stat().st_size / _SLOWEST_BYTES_A_SECOND
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-m", _READER, str(path.resolve()), str(scratch.resolve())],
            env=environment,
            cwd=scratch,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=limit_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CheckpointError(
            f"{path}: reading it was given up after {limit_seconds:.0f} s; is the disk at fault?"
        ) from error
    if done.returncode != 0:
        raise CheckpointError(f"{path}: {_reason(done)}")


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    """What the reader said, or how it died."""
    try:
        return str(json.loads(done.stdout.splitlines()[-1])["error"])[:_ERROR_CHARACTERS]
    except (IndexError, KeyError, TypeError, ValueError):
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return f"the process that read it failed ({lines[-1][:_ERROR_CHARACTERS]})"
