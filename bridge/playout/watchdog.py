"""The watchdog: ends a playout whose pump stands still, so that a fresh one can take over.

A sound server that dies at the wrong moment can make a call of its library wait for ever. Nothing
in the same thread can help then.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

STILL_SECONDS = 3.0


class Watchdog:
    """Calls `on_still` when `step` was not called for STILL_SECONDS; from its own thread, once.

    Time in which the whole process was stopped does not count: it looks several times.
    """

    _LOOKS = 6

    def __init__(
        self, on_still: Callable[[], None], look_seconds: float = STILL_SECONDS / _LOOKS
    ) -> None:
        self._on_still = on_still
        self._look_seconds = look_seconds
        self._steps = 0
        self._seen = -1
        self._still = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
        self._thread.start()

    def step(self) -> None:
        """The pump is alive. [pump]"""
        self._steps += 1

    def stop(self) -> None:
        """No longer look. [any]"""
        self._stopped.set()

    def look(self) -> bool:
        """Whether the pump has stood still for as many looks as it takes. [watchdog]"""
        self._still = self._still + 1 if self._steps == self._seen else 0
        self._seen = self._steps
        return self._still >= self._LOOKS

    def _run(self) -> None:
        """[watchdog]"""
        while not self._stopped.wait(self._look_seconds):
            if self.look():
                self._on_still()
                return
