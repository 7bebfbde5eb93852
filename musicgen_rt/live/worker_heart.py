"""Heartbeats: proof for control that the engine's loop still comes round."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

HEARTBEAT_SECONDS = 0.1
# The loop comes round many times a second. Beyond this it hangs, and control must hear nothing.
STALL_SECONDS = 2.0
# Filling a window or reading a file may take longer than that, and says so.
WORK_SECONDS = 20.0
LOADING_SECONDS = 3600.0

Vitals = Callable[[], dict[str, Any]]


class Heart:
    """A thread that sends heartbeats for as long as the loop has shown itself in time."""

    def __init__(
        self,
        send: Callable[..., None],
        *,
        stall_seconds: float = STALL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._send, self._clock = send, clock
        self._stall_seconds = stall_seconds
        self._vitals: dict[str, Any] = {"is_loading": True}
        self._deadline = clock() + LOADING_SECONDS
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heart", daemon=True)

    @property
    def is_beating(self) -> bool:
        """Whether the loop is in time. [any]"""
        return self._clock() < self._deadline

    def start(self) -> None:
        """Begin to beat. [engine]"""
        self._thread.start()

    def touch(self, vitals: dict[str, Any]) -> None:
        """The loop has come round; `vitals` go out with the next beats. [engine]"""
        self._vitals = vitals
        self._deadline = self._clock() + self._stall_seconds

    @contextmanager
    def working(self, seconds: float = WORK_SECONDS) -> Iterator[None]:
        """Something is done that may take so long. [engine]"""
        self._deadline = max(self._deadline, self._clock() + seconds)
        try:
            yield
        finally:
            self._deadline = self._clock() + self._stall_seconds

    def stop(self) -> None:
        """No more beats. [any]"""
        self._stopped.set()

    def _beat(self) -> None:
        while not self._stopped.wait(HEARTBEAT_SECONDS):
            if self.is_beating:
                self._send("heartbeat", **self._vitals)
