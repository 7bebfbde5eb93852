"""A script under test in a process of its own, whose lines are waited for."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

DEADLINE_SECONDS: Final = 60.0


class Script:
    """A program that prints lines; standard error is among them. A driven one reads, too."""

    def __init__(
        self,
        command: Sequence[str | Path],
        folder: Path,
        environment: Mapping[str, str] | None = None,
        *,
        is_driven: bool = False,
    ) -> None:
        self._process = subprocess.Popen(
            [str(word) for word in command],
            cwd=folder,
            stdin=subprocess.PIPE if is_driven else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            text=True,
        )
        assert self._process.stdout is not None
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.printed: list[str] = []
        self._reader = threading.Thread(
            target=self._read, args=(self._process.stdout,), daemon=True
        )
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        self._reader.join(DEADLINE_SECONDS)

    def say(self, text: str) -> None:
        """Write to a program that is driven."""
        assert self._process.stdin is not None
        self._process.stdin.write(text)
        self._process.stdin.flush()

    def wait_for(self, text: str, seconds: float = DEADLINE_SECONDS) -> str:
        """The next line that has this in it; all are kept in `printed`."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                line = self._lines.get(timeout=left)
            except queue.Empty:
                break
            assert line is not None, f"it ended without {text!r}: {self.printed[-20:]}"
            self.printed.append(line)
            if text in line:
                return line
        raise AssertionError(f"no {text!r} in {seconds} s: {self.printed[-20:]}")

    def wait_end(self, seconds: float = DEADLINE_SECONDS) -> int:
        """Wait until it has ended; what it returned."""
        code = self._process.wait(seconds)
        self._reader.join(seconds)
        while (line := self._lines.get()) is not None:
            self.printed.append(line)
        return code

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self._lines.put(line.rstrip("\n"))
        self._lines.put(None)


def endpoints(commands: int, events: int) -> list[str]:
    """What tells patches/python/client.py where the daemon is."""
    return [
        *("--commands", f"tcp://127.0.0.1:{commands}"),
        *("--events", f"tcp://127.0.0.1:{events}"),
    ]
