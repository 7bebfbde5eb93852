"""Files that appear whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from musicgen_rt.errors import CheckpointError, ParameterError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Gives a path to write at, which becomes `path` once it is complete and on the disk.

    A reader, or a crash, sees the old file or the new one. Raises CheckpointError when the file
    cannot be written, as on a full disk; what was there stays, and no part is left to take room.
    """
    part = path.with_name(path.name + ".part")
    try:
        yield part
        _flush(part)
        # safetensors makes files that only their owner can read
        part.chmod(0o644)
        os.replace(part, path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path} cannot be written ({_reason(error)}); make room or name another folder, then "
            "start the same command again"
        ) from error
    finally:
        part.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it. Raises ParameterError when that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ParameterError(
            f"{folder} cannot be made a folder ({error.strerror}); name one that can be written"
        ) from error


def write_atomically(path: Path, text: str) -> None:
    """Writes a text file whole or not at all. Raises CheckpointError as `whole_file` does."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
