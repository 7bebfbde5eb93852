"""Messages to control: answers, news, and nothing twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from musicgen_rt.live.buffer_writer import Written

_CHUNK_SECONDS = 0.1
_PROGRESS_SECONDS = 0.1


class Outbox:
    """Words messages; `post` sends them, from any thread, without ever waiting."""

    def __init__(
        self,
        post: Callable[[dict[str, Any]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._post, self._clock = post, clock
        self._unsent: Written | None = None
        self._last_chunk = self._last_progress = float("-inf")

    def send(self, kind: str, **fields: Any) -> None:
        """One message. [any]"""
        self._post({"type": kind, **fields})

    def applied(self, identity: int | None, frame: int, **detail: Any) -> None:
        """A command is carried out, or will be at `frame`. [engine]"""
        if identity is not None:
            self.send("applied", id=identity, frame=frame, **detail)

    def failed(self, identity: int | None, reason: str) -> None:
        """A command is not carried out; one that nobody waits for is an error. [any]"""
        if identity is not None:
            self.send("failed", id=identity, reason=reason)
        else:
            self.error("state", reason, None)

    def error(self, where: str, text: str, frame: int | None) -> None:
        """Something went wrong that no command asked for. [any]"""
        self.send("error", where=where, text=text, frame=frame)

    def loading(self, part: str, fraction: float) -> None:
        """How far the model's weights are read; told ten times a second at most. [engine]"""
        now = self._clock()
        if now - self._last_progress >= _PROGRESS_SECONDS:
            self._last_progress = now
            self.send("loading", fraction=round(fraction, 3), text=f"loading the {part}")

    def refuse(self, message: Mapping[str, Any]) -> None:
        """The inbox is full. [inbox]"""
        if isinstance(message.get("id"), int):
            self.failed(message["id"], "the engine is busy: too many commands are waiting")

    def written(self, written: Written) -> None:
        """Music has come to stand in the buffer; told ten times a second at most. [engine]"""
        unsent = self._unsent or written
        self._unsent = Written(
            min(unsent.first_sample, written.first_sample),
            written.end_sample,
            unsent.is_rewrite or written.is_rewrite,
        )
        self.flush()

    def flush(self) -> None:
        """Tell what was held back, if it is time. [engine]"""
        now, unsent = self._clock(), self._unsent
        if unsent is None or now - self._last_chunk < _CHUNK_SECONDS:
            return
        self._last_chunk, self._unsent = now, None
        self.send(
            "chunk",
            first_sample=unsent.first_sample,
            end_sample=unsent.end_sample,
            is_rewrite=unsent.is_rewrite,
        )
