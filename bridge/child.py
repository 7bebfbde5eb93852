"""One child process of the daemon, from its start to its burial."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any, Final

from bridge.child_link import ChildLink, ChildOutput, OnMessage

# A child whose pipe has ended may take this long to leave by itself, and a killed one to go.
_LEAVE_SECONDS: Final = 0.3
_GONE_SECONDS: Final = 1.0
_LAST_WORDS_SECONDS: Final = 0.1
_POLL_SECONDS: Final = 0.01
BURIAL_SECONDS: Final = _LEAVE_SECONDS + _GONE_SECONDS + _LAST_WORDS_SECONDS


class Child:
    """One process from its start to its burial. [control]"""

    def __init__(self, module: str, buffer_fd: int) -> None:
        """Start the process. Raises OSError."""
        self.silence_seconds = 0.0
        self.ready_since: float | None = None
        self.reason = ""
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._link: ChildLink | None = None
        self._output: ChildOutput | None = None
        self._has_spoken = False
        self._socket, theirs = socket.socketpair()
        with theirs:
            numbers = ("--pipe-fd", str(theirs.fileno()), "--buffer-fd", str(buffer_fd))
            try:
                self.process = subprocess.Popen(
                    [sys.executable, "-m", module, *numbers],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    pass_fds=(theirs.fileno(), buffer_fd),
                    # Ctrl-C in the terminal is for this process alone: it ends the others in order.
                    start_new_session=True,
                )
            except OSError:
                self._socket.close()
                raise

    async def connect(self, log: logging.Logger, on_message: OnMessage) -> None:
        """Listen to what the child sends and prints."""

        def spoken(message: dict[str, Any], payload: bytes) -> None:
            self._has_spoken = True
            on_message(message, payload)

        self._link = await ChildLink.over(self._socket, spoken, self.end)
        assert self.process.stdout is not None
        self._output = await ChildOutput.of(self.process.stdout, log)

    @property
    def last_words(self) -> tuple[str, ...]:
        """The last lines that it has printed without a level: a traceback, as a rule."""
        return () if self._output is None else tuple(self._output.last_words)

    @property
    def has_ended(self) -> bool:
        """Whether the child has gone, or must."""
        return self._end.done()

    def end(self, reason: str) -> None:
        """The child has gone, or must: `bury` comes next. The first reason counts."""
        if not self._end.done():
            self.reason = reason
            self._end.set_result(None)

    def kill(self, reason: str) -> None:
        """End a child that would not leave by itself."""
        self.signal(signal.SIGKILL)
        self.end(reason)

    async def wait(self, seconds: float) -> None:
        """Until the end, but not longer than `seconds`."""
        await asyncio.wait([self._end], timeout=seconds)

    def send(self, message: Mapping[str, Any]) -> bool:
        """Queue a message; False when the child has gone."""
        return self._link is not None and self._link.send(message)

    def ask_to_quit(self) -> None:
        """Tell the child to leave. One that is still importing cannot hear: it gets a signal."""
        self.send({"type": "quit"})
        if not self._has_spoken:
            self.signal(signal.SIGTERM)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the child and all that it has started."""
        # Not reaped yet, so the number is still this child's.
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)

    async def bury(self) -> int | None:
        """Let the child leave, kill it and what it started; its exit code, None if it stays."""
        deadline = time.monotonic() + _LEAVE_SECONDS
        while not _has_left(self.process) and time.monotonic() < deadline:
            await asyncio.sleep(_POLL_SECONDS)
        self.signal(signal.SIGKILL)
        deadline = time.monotonic() + _GONE_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            await asyncio.sleep(_POLL_SECONDS)
        if self._link is not None:
            self._link.close()
        if self._output is not None:
            await self._output.close(_LAST_WORDS_SECONDS)
        return self.process.returncode


def _has_left(process: subprocess.Popen[bytes]) -> bool:
    """Whether the process has exited, without reaping it where the system can tell."""
    if not hasattr(os, "waitid"):
        return process.poll() is not None
    try:
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, process.pid, options) is not None
    except ChildProcessError:
        return True
