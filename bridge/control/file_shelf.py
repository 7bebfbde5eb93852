"""Names in messages to files in one folder of ours, and to nothing else.

A name is checked by the protocol's table to be no path. Here it must be a regular file: not a
link, which may lead anywhere, and not a pipe or device, which may block whoever opens it.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path

from bridge.refusal import Refusal, shown

_MAX_NUMBER = 9999


class FileShelf:
    """One folder with files of some kinds."""

    def __init__(self, folder: Path, suffixes: Sequence[str]) -> None:
        self._folder = folder
        self._suffixes = tuple(suffixes)

    def existing(self, name: str) -> Path:
        """The path of a file that is there. Raises Refusal."""
        path = self._checked(name)
        try:
            mode = path.lstat().st_mode
        except OSError as error:
            raise Refusal(
                f"there is no file {shown(name)} in {self._folder}: put it there first"
            ) from error
        if not stat.S_ISREG(mode):
            raise Refusal(f"{shown(name)} is no regular file: links and pipes are refused")
        return path

    def fresh(self, name: str) -> Path:
        """The path of a file that is to be made. Raises Refusal if there is one."""
        path = self._checked(name)
        if _is_there(path):
            raise Refusal(
                f"there is a {shown(name)} in {self._folder} already: choose another name"
            )
        return self._in_made_folder(path)

    def numbered(self, stem: str, suffix: str) -> Path:
        """The path of a file to be made, with the first number that is free."""
        for number in range(1, _MAX_NUMBER + 1):
            path = self._folder / f"{stem}-{number:04}{suffix}"
            if not _is_there(path):
                return self._in_made_folder(path)
        raise Refusal(f"all of {_MAX_NUMBER} numbers are taken in {self._folder}: tidy it up")

    def replaceable(self, name: str) -> Path:
        """The path of a file that is made, or made again. Raises Refusal for a link or pipe."""
        path = self._checked(name)
        if _is_there(path):
            return self.existing(name)
        return self._in_made_folder(path)

    def _checked(self, name: str) -> Path:
        path = self._folder / name
        # What the table lets through is one part of a path; this holds whoever calls.
        if path.parent != self._folder or name.startswith("."):
            raise Refusal(f"{shown(name)} is not a name: names never are paths")
        if path.suffix.lower() not in self._suffixes:
            raise Refusal(
                f"{shown(name)} ends in {shown(path.suffix)}: expected {', '.join(self._suffixes)}"
            )
        return path

    def _in_made_folder(self, path: Path) -> Path:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Refusal(f"the folder {self._folder} cannot be made: {error.strerror}") from error
        return path


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except OSError:
        return False
    return True
