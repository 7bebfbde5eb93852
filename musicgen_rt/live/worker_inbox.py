"""Messages from control: read by a thread of their own, taken by the engine's loop."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from musicgen_rt.contract.pipe import Pipe
from musicgen_rt.errors import ParameterError

Message = dict[str, Any]

MAX_WAITING = 8192
# What holds from now on: of those that wait only the last counts. They are answered by nobody, so
# none may be lost.
_STATES = frozenset({"lead", "timeline"})


class Inbox:
    """A bounded queue with a thread that fills it from a pipe.

    When it is full a command is handed to `refused` instead, in the reading thread; a lead or a
    timeline takes the place of the one that waits. The pipe's end and a "quit" set `is_closed` at
    once, however much is waiting, and are told to `closed`.
    """

    def __init__(
        self,
        pipe: Pipe,
        refused: Callable[[Mapping[str, Any]], None],
        closed: Callable[[], None],
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._pipe, self._refused, self._closed = pipe, refused, closed
        self._max_waiting = max_waiting
        self._waiting: deque[Message] = deque()
        self._states: dict[str, Message] = {}  # those that wait, by type
        self._changed = threading.Condition()
        self.is_closed = False
        self._thread = threading.Thread(target=self._read, name="inbox", daemon=True)

    def start(self) -> None:
        """Begin to read. [engine]"""
        self._thread.start()

    def take(self, timeout_seconds: float) -> list[Message]:
        """All that waits; with nothing there, what comes within the time-out. [engine]"""
        with self._changed:
            if not self._waiting and not self.is_closed and timeout_seconds > 0:
                self._changed.wait(timeout_seconds)
            messages = list(self._waiting)
            self._waiting.clear()
            self._states.clear()
            return messages

    def close(self) -> None:
        """No more is wanted: wake the engine's loop. [any]"""
        with self._changed:
            self.is_closed = True
            self._changed.notify_all()
        self._closed()

    def _read(self) -> None:
        try:
            for message, _ in self._pipe.receive():
                if message["type"] == "quit":
                    break
                self._put(message)
        except (OSError, ParameterError):
            pass  # the other end is gone, or no longer makes sense: both mean the end
        self.close()

    def _put(self, message: Message) -> None:
        kind = message["type"]
        with self._changed:
            if kind in self._states:
                _take_over(self._states[kind], message)
                return
            if kind in _STATES:
                self._states[kind] = message
            has_room = kind in _STATES or len(self._waiting) < self._max_waiting
            if has_room:
                self._waiting.append(message)
                self._changed.notify_all()
        if not has_room:
            self._refused(message)


def _take_over(waiting: Message, newer: Message) -> None:
    """Let a newer state stand in the older one's place; it differs from the earlier frame on."""
    frames = [one["frame"] or 0 for one in (waiting, newer) if "frame" in one]
    waiting.clear()
    waiting.update(newer)
    if frames:
        waiting["frame"] = min(frames)
