"""The terminal, seen through a small screen that obeys the escape sequences used."""

from __future__ import annotations

import os
import pty
import re

import pytest

from bridge.terminal import Terminal, clipped

SEQUENCE = re.compile(r"\x1b\[(\d*)([AJ])|(\r)|(\n)|([^\x1b\r\n]+)")


def screen(output: str) -> list[str]:
    """What a terminal shows after `output`: the sequences of ECMA-48 that are used here."""
    lines, row, column = [""], 0, 0
    for count, sequence, back, down, text in SEQUENCE.findall(output):
        if sequence == "A":
            row = max(0, row - int(count or 1))
        elif sequence == "J":
            lines = [*lines[:row], lines[row][:column]]
        elif back:
            column = 0
        elif down:
            row, column = row + 1, 0
            if row == len(lines):
                lines.append("")
        else:
            lines[row] = lines[row][:column].ljust(column) + text + lines[row][column + len(text) :]
            column += len(text)
    return lines


class Screen:
    """A pseudo-terminal and the Terminal that writes to it."""

    def __init__(self) -> None:
        self._reader, writer = pty.openpty()
        self._stream = os.fdopen(writer, "w", encoding="utf-8")
        self.terminal = Terminal(self._stream)

    def closed(self) -> list[str]:
        """All that is on the screen at the end."""
        self.terminal.close()
        self._stream.close()
        output = b""
        try:
            while data := os.read(self._reader, 65536):
                output += data
        except OSError:  # Linux's way to say that the other end is closed
            pass
        os.close(self._reader)
        return screen(output.decode().replace("\r\n", "\n"))


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Screen:
    monkeypatch.setenv("TERM", "xterm")
    return Screen()


def test_lines_scroll_above_a_foot_that_stays(shown: Screen) -> None:
    terminal = shown.terminal
    assert terminal.is_terminal
    terminal.line("first")
    terminal.foot(["meter 1", "prompts"])
    terminal.line("second")
    terminal.foot(["meter 2", "prompts", "more"])
    terminal.line("third")
    terminal.foot(["meter 3"])
    assert shown.closed() == ["first", "second", "third", "meter 3", ""]


def test_a_line_that_is_too_long_for_the_foot_is_cut(shown: Screen) -> None:
    width = shown.terminal.columns
    shown.terminal.foot(["x" * (width + 20), "end"])
    shown.terminal.foot(["y" * (width + 20), "end"])
    assert shown.closed() == ["y" * (width - 1), "end", ""]


def test_a_file_gets_lines_and_no_foot(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("log") / "log.txt"
    with path.open("w", encoding="ascii") as stream:
        terminal = Terminal(stream)
        terminal.foot(["meter"])
        terminal.line("naïve ▶")
        terminal.close()
    assert path.read_text() == "na?ve ?\n"


def test_wide_and_combining_characters_are_counted_as_they_are_shown() -> None:
    assert clipped("日本語", 4) == "日本"
    assert clipped("日本語", 5) == "日本"
    assert clipped("e\u0301e\u0301e\u0301", 2) == "e\u0301e\u0301"
