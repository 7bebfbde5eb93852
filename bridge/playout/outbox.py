"""The outbox: messages to control, sent by a thread: a slow reader never stops the audio."""

from __future__ import annotations

import queue
import threading
import traceback
from collections.abc import Mapping
from typing import Any

from musicgen_rt.contract.pipe import Pipe

# What may pile up before messages that can be missed are dropped, and before all are.
_MAX_MISSABLE = 64
_MAX_QUEUED = 4096


class Outbox:
    """`post` from any thread; a full queue drops, and counts what it dropped."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._queue: queue.SimpleQueue[tuple[Mapping[str, Any], bytes] | None]
        self._queue = queue.SimpleQueue()
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self._thread.start()

    def post(
        self, message: Mapping[str, Any], payload: bytes = b"", *, is_missable: bool = False
    ) -> bool:
        """Send in the background; False if it was dropped. [any]"""
        if self._queue.qsize() >= (_MAX_MISSABLE if is_missable else _MAX_QUEUED):
            self.dropped += 1
            return False
        self._queue.put((message, payload))
        return True

    def close(self, seconds: float) -> None:
        """Send what is queued, but wait no longer than `seconds`."""
        self._queue.put(None)
        self._thread.join(seconds)

    def _run(self) -> None:
        """[outbox]"""
        while (item := self._queue.get()) is not None:
            try:
                self._pipe.send(*item)
            except OSError:
                return  # control has gone; the reading thread sees it too
            except (TypeError, ValueError):
                # A message that is no JSON is a fault here; those behind it must get through.
                traceback.print_exc()
