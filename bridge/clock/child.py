"""A clock's child process: a library that can hang or abort does it there.

The child prints JSON lines and reads them; when it ends it is started again. A thread does the
waiting, so that nothing of the child can hold up whoever asks for its news.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, cast

_PAUSE_SECONDS = 1.0
_MAX_WAITING = 512
_MAX_LINE_BYTES = 4096

_log = logging.getLogger("mgrt.clock")


class ClockChild:
    """Keeps `python -m MODULE` running until `stop`. [control], but for its thread."""

    def __init__(self, module: str, arguments: Sequence[str] = ()) -> None:
        self._command = [sys.executable, "-m", module, *arguments]
        self._news: deque[dict[str, Any]] = deque(maxlen=_MAX_WAITING)
        self._is_ended = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._last_words = ""
        self._thread = threading.Thread(target=self._run, name="clock-child", daemon=True)
        self._thread.start()

    def take(self) -> list[dict[str, Any]]:
        """What the child has said since the last call; the oldest is dropped where nobody asks."""
        taken = []
        with contextlib.suppress(IndexError):
            while True:
                taken.append(self._news.popleft())
        return taken

    def send(self, message: Mapping[str, Any]) -> None:
        """Tell the child; lost if it is not there, or does not read."""
        with self._lock:
            process = self._process
        if process is None or process.stdin is None:
            return
        # A short line is written whole or not at all, and a child that does not read blocks nobody.
        with contextlib.suppress(OSError, ValueError):
            process.stdin.write(json.dumps(message).encode() + b"\n")

    def stop(self) -> None:
        """End the child, and start no other."""
        self._is_ended.set()
        with self._lock:
            if self._process is not None:
                self._process.kill()

    def _run(self) -> None:
        """[clock-child]"""
        while not self._is_ended.is_set():
            try:
                self._one_life()
            except OSError as error:
                self._tell(f"cannot be started: {error}")
            self._is_ended.wait(_PAUSE_SECONDS)

    def _one_life(self) -> None:
        with self._lock:
            if self._is_ended.is_set():
                return
            process = self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
            )
        assert process.stdin is not None and process.stdout is not None
        os.set_blocking(process.stdin.fileno(), False)
        with process, io.BufferedReader(cast(io.RawIOBase, process.stdout)) as stream:
            while line := stream.readline(_MAX_LINE_BYTES):
                self._take_line(line)
        with self._lock:
            self._process = None

    def _take_line(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            return
        if isinstance(message, dict) and message.get("type") == "trouble":
            self._tell(str(message.get("text", ""))[:200])
        elif isinstance(message, dict):
            self._last_words = ""
            self._news.append(message)

    def _tell(self, text: str) -> None:
        """Once, and not at every new start."""
        if text != self._last_words:
            self._last_words = text
            _log.warning("%s", text)
