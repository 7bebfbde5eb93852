"""Packets that have been received and wait to be handled, a few milliseconds' worth at a time.

A socket is emptied as fast as it can be read, since what does not fit into the system's buffer is
lost; handling takes longer, and must not keep the event loop from the sockets. So they are two.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from bridge.control.client import Client
from bridge.control.counters import Counters

MAX_PACKETS = 1 << 16
MAX_BYTES = 1 << 25
# From here on streams, which can wait, are not read.
CROWDED_PACKETS = 1 << 11

_SLICE_NS = 2_000_000
# It stops everything, so it does not queue; some hosts put each message into a bundle.
_PANIC = b"/mgrt/gen/panic"
_URGENT = (_PANIC, b'["' + _PANIC)
_BUNDLE_NOW = b"#bundle\0" + (1).to_bytes(8, "big")
_BUNDLE_HEAD_BYTES = 20

Packet = tuple[bytes, Client]


class Handler(Protocol):
    """What is done with a packet, and when (monotonic) it came."""

    def __call__(self, data: bytes, client: Client, received_ns: int) -> None: ...


@dataclass
class Inbox:
    """A bounded queue that works itself off on the event loop; when full the newest is dropped.

    [control]
    """

    handle: Handler
    counters: Counters
    now_ns: Callable[[], int] = time.monotonic_ns
    _packets: deque[tuple[bytes, Client, int]] = field(default_factory=deque)
    _bytes: int = 0
    _is_scheduled: bool = False
    _waiting: list[Callable[[], None]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self._packets)

    @property
    def is_crowded(self) -> bool:
        """Whether who can wait should."""
        return len(self._packets) >= CROWDED_PACKETS

    def put(self, *packets: Packet) -> None:
        """Take packets."""
        self.counters.add("packets_total", len(packets))
        for packet in packets:
            data, client = packet
            received_ns = self.now_ns()
            if _is_urgent(data):
                self.handle(data, client, received_ns)
            elif len(self._packets) < MAX_PACKETS and self._bytes + len(data) <= MAX_BYTES:
                self._packets.append((data, client, received_ns))
                self._bytes += len(data)
            else:
                self.counters.add("overflow_total")
        if self._packets:
            self._schedule()

    def when_calm(self, callback: Callable[[], None]) -> None:
        """Call back once it is not crowded any more, at once if it is not."""
        if self.is_crowded:
            self._waiting.append(callback)
        else:
            callback()

    async def calm(self) -> None:
        """Wait until it is not crowded any more."""
        future = asyncio.get_running_loop().create_future()
        self.when_calm(lambda: None if future.done() else future.set_result(None))
        await future

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._work)

    def _work(self) -> None:
        self._is_scheduled = False
        end_ns = self.now_ns() + _SLICE_NS
        while self._packets and self.now_ns() < end_ns:
            data, client, received_ns = self._packets.popleft()
            self._bytes -= len(data)
            self.handle(data, client, received_ns)
        if self._packets:
            self._schedule()
        if not self.is_crowded and self._waiting:
            waiting, self._waiting = self._waiting, []
            for callback in waiting:
                callback()


def _is_urgent(data: bytes) -> bool:
    if data.startswith(_BUNDLE_NOW):
        size = int.from_bytes(data[_BUNDLE_HEAD_BYTES - 4 : _BUNDLE_HEAD_BYTES], "big")
        is_alone = _BUNDLE_HEAD_BYTES + size == len(data)
        return is_alone and data.startswith(_PANIC, _BUNDLE_HEAD_BYTES)
    return data.startswith(_URGENT)
