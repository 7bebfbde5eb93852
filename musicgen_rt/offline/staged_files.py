"""Files that appear together under their names when all are complete, or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from musicgen_rt.errors import AudioFileError


class StagedFiles:
    """Gives temporary names beside the wanted ones. Use as a context manager. One thread.

    `commit` renames; leaving the block removes whatever is not renamed. Files of the wanted names
    are replaced, and stay untouched until then. An AudioFileError that leaves the block speaks of
    the wanted names.
    """

    def __init__(self) -> None:
        self._temporary: dict[Path, Path] = {}  # temporary -> wanted name, for all of them
        self._staged: list[Path] = []

    def stage(self, path: Path) -> Path:
        """A temporary name in the same folder with the same suffix, for what becomes `path`."""
        temporary = self.scratch(path, path.suffix)
        self._staged.append(temporary)
        return temporary

    def scratch(self, path: Path, suffix: str) -> Path:
        """A temporary name for a step on the way to `path`; the file is removed in the end."""
        temporary = path.with_name(f".{secrets.token_hex(6)}{suffix}")
        self._temporary[temporary] = path
        return temporary

    def commit(self) -> None:
        """Bring all staged files to the disk, then give them their names, first staged first.

        Raises AudioFileError.
        """
        for temporary in self._staged:
            with _failing_as(temporary), temporary.open("rb") as file:
                os.fsync(file.fileno())
        for temporary in self._staged:
            with _failing_as(temporary):
                temporary.replace(self._temporary[temporary])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for temporary in self._temporary:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        if isinstance(error, AudioFileError):
            message = str(error)
            for temporary, path in self._temporary.items():
                message = message.replace(str(temporary), str(path))
            if message != str(error):
                raise AudioFileError(message) from error


def check_writable(path: Path) -> None:
    """Raise AudioFileError unless a file can be made in the folder of `path`."""
    with StagedFiles() as files:
        probe = files.stage(path)
        with _failing_as(probe):
            probe.touch()


def unwritable(path: Path, error: OSError) -> AudioFileError:
    """What to raise where a file cannot be written."""
    return AudioFileError(
        f"{path} cannot be written ({error.strerror or error}): expected a folder that exists, "
        "allows writing and has room; check the path, its permissions and the disk"
    )


@contextlib.contextmanager
def _failing_as(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from error
