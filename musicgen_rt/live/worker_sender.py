"""Sends messages to control from a thread of its own: the engine never waits for control."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from musicgen_rt.contract.pipe import Pipe

Message = dict[str, Any]

MAX_WAITING = 1 << 16
# News that the next one makes old: left out while control does not read.
_NEWS = frozenset({"heartbeat", "chunk", "loading"})
_MAX_WAITING_FOR_NEWS = 256


class Sender:
    """A bounded queue in front of the pipe.

    While more than a few messages wait, heartbeats and the like are left out. When it is full
    nothing is taken any more: control has not read for so long that it is as good as gone. A pipe
    whose other end has gone swallows everything.
    """

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._waiting: deque[Message] = deque()
        self._changed = threading.Condition()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)

    def start(self) -> None:
        """Begin to send. [engine]"""
        self._thread.start()

    def send(self, message: Message) -> None:
        """Send a message when its turn comes; returns at once. [any]"""
        with self._changed:
            is_news = message["type"] in _NEWS
            if len(self._waiting) < (_MAX_WAITING_FOR_NEWS if is_news else MAX_WAITING):
                self._waiting.append(message)
                self._changed.notify()

    def close(self, timeout_seconds: float) -> None:
        """Send what waits, if control reads it in time. [engine]"""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while (message := self._next()) is not None:
            try:
                self._pipe.send(message)
            except OSError:
                return  # the inbox sees the end of the pipe too, and ends the process

    def _next(self) -> Message | None:
        with self._changed:
            while not self._waiting and not self._is_closing:
                self._changed.wait()
            return self._waiting.popleft() if self._waiting else None
