"""The terminal: log lines that scroll by, and below them a few lines that are drawn over and over.

Plain ANSI, written by a thread of its own (see `log.LineWriter`): whoever stops the terminal stops
nobody else. A library for such views would be the heaviest import of the control process, and the
whole of what is needed are two escape sequences.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from typing import Final, TextIO

from bridge.log import LineWriter

_ERASE_TO_END: Final = "\x1b[J"
_DEFAULT_COLUMNS: Final = 80


class Terminal:
    """Lines, and a foot of lines that stays below them. [control]"""

    def __init__(self, stream: TextIO) -> None:
        self.is_terminal = _is_terminal(stream)
        self.has_unicode = "utf" in (stream.encoding or "").lower()
        self._stream = stream
        self._writer = LineWriter(stream, name="terminal")
        self._foot: tuple[str, ...] = ()

    @property
    def columns(self) -> int:
        """How wide it is now."""
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or _DEFAULT_COLUMNS
        except (OSError, ValueError):
            return _DEFAULT_COLUMNS

    def line(self, text: str) -> None:
        """Show one line for good."""
        shown = text if self.has_unicode else text.encode("ascii", "replace").decode()
        if not self._foot:
            self._writer.put(f"{shown}\n")
            return
        self._writer.put(f"{self._to_foot()}{shown}\n" + "\n".join(self._foot))

    def foot(self, lines: Sequence[str]) -> None:
        """Show these lines at the bottom in place of the last ones; only in a real terminal."""
        if not self.is_terminal:
            return
        width = self.columns - 1  # a full line would wrap, and the count of lines be wrong
        new = tuple(clipped(line, width) for line in lines)
        if new != self._foot:
            before = self._to_foot()
            self._foot = new
            self._writer.put(before + "\n".join(new))

    def close(self) -> None:
        """Leave the last foot standing, and the cursor on a line of its own."""
        if self._foot:
            self._writer.put("\n")
            self._foot = ()
        self._writer.close()

    def _to_foot(self) -> str:
        """Go to where the foot begins and erase it."""
        if not self._foot:
            return ""
        up = len(self._foot) - 1
        return "\r" + (f"\x1b[{up}A" if up else "") + _ERASE_TO_END


def clipped(text: str, columns: int) -> str:
    """As much of a line as fits into so many columns; wide characters take two."""
    used = 0
    for index, character in enumerate(text):
        used += columns_of(character)
        if used > columns:
            return text[:index]
    return text


def columns_of(character: str) -> int:
    """The columns that one character takes in a terminal."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty() and os.environ.get("TERM", "") != "dumb"
    except ValueError:  # closed
        return False
