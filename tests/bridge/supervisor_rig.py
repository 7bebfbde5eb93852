"""An owner of a supervised child that records what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from bridge.supervisor import ChildEvents, ChildSpec, Supervisor

TEST_SECONDS = 40.0


class Owner:
    """Records what the supervisor tells."""

    def __init__(self, buffer_fd: int, *, silence_seconds: float = 5.0) -> None:
        self.messages: list[dict[str, Any]] = []
        self.stops: list[tuple[str, bool]] = []
        self.starts = 0
        self.changed = asyncio.Event()
        spec = ChildSpec("engine", "tests.bridge.child_process", 30.0, silence_seconds)
        events = ChildEvents(self.begin, self.take, self.end)
        self.supervisor = Supervisor(spec, events, buffer_fd)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that the supervisor tells."""
        async with asyncio.timeout(TEST_SECONDS / 2):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == kind]

    def begin(self) -> None:
        self.starts += 1
        self.changed.set()

    def take(self, message: dict[str, Any], payload: bytes) -> None:
        self.messages.append(message)
        self.changed.set()

    def end(self, reason: str, is_followed: bool) -> None:
        self.stops.append((reason, is_followed))
        self.changed.set()


def play(test: Callable[[], Awaitable[None]]) -> None:
    """Run a test on an event loop of its own."""

    async def bounded() -> None:
        async with asyncio.timeout(TEST_SECONDS):
            await test()

    asyncio.run(bounded())


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that waits to be reaped by whoever does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
