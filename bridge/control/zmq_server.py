"""ZeroMQ: commands as JSON arrays over a ROUTER, events and PCM over a PUB with subscriptions."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, cast

import zmq
import zmq.asyncio

from bridge.control.client import Client
from bridge.control.counters import Counters
from bridge.control.curve import CurveKeys
from bridge.control.inbox import Inbox
from bridge.control.message import Message
from bridge.control.osc_decode import MAX_PACKET_BYTES
from bridge.control.subscriptions import Subscriptions

PCM_TOPIC = b"pcm"

# libzmq's own defaults are: messages of any size, waiting at the end for ever, and 1000 messages
# for each peer that does not read.
_MAX_SUBSCRIPTION_BYTES = 1024
_HIGH_WATER_COMMANDS = 1000
# 5 seconds of PCM in blocks of 20 ms, or as much as a slow reader of events may fall behind.
_HIGH_WATER_EVENTS = 250
_HEARTBEAT_MS = 10_000
_HANDSHAKE_MS = 5_000
# Others get their turn after so many messages.
_MESSAGES_AT_ONCE = 64


class ZmqServer:
    """Both sockets. Make it within the event loop, bind, then start. [control]"""

    def __init__(self, inbox: Inbox, subscriptions: Subscriptions, keys: CurveKeys | None) -> None:
        self._inbox = inbox
        self._counters: Counters = inbox.counters
        self._subscriptions = subscriptions
        self._context = zmq.asyncio.Context()
        self._keys = keys
        if keys is not None:
            keys.start(self._context)
        self._commands = self._socket(zmq.ROUTER, MAX_PACKET_BYTES, _HIGH_WATER_COMMANDS)
        self._events = self._socket(zmq.XPUB, _MAX_SUBSCRIPTION_BYTES, _HIGH_WATER_EVENTS)
        self._sequences: Counter[str] = Counter()
        self._tasks: list[asyncio.Task[None]] = []

    def bind_commands(self, address: str, port: int) -> int:
        """Take the port for commands; which one it is. Raises OSError if it is taken."""
        return _bind(self._commands, address, port)

    def bind_events(self, address: str, port: int) -> int:
        """Take the port for events; which one it is. Raises OSError if it is taken."""
        return _bind(self._events, address, port)

    def start(self) -> None:
        """Begin to read."""
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._read_commands()),
            loop.create_task(self._read_subscriptions()),
        ]

    async def stop(self) -> None:
        """Close everything without waiting for what has not been sent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._keys is not None:
            self._keys.stop()
        self._commands.close(linger=0)
        self._events.close(linger=0)
        self._context.destroy(linger=0)

    # Replies

    def send(self, client: Client, message: Message) -> bool:
        envelope = client.peer
        assert isinstance(envelope, tuple)
        if message.is_aside and not self.can_push(client):
            return False
        return self._send(self._commands, [*envelope, message.json])

    def can_push(self, client: Client) -> bool:
        """A REQ socket takes one answer a request; it has an empty frame in its envelope."""
        return isinstance(client.peer, tuple) and len(client.peer) == 1

    # Events

    def publish(self, message: Message) -> None:
        address = message.address
        self._sequences[address] += 1
        header = json.dumps({"sequence": self._sequences[address]}).encode()
        self._send(self._events, [address.encode(), header, message.json])

    def publish_pcm(self, header: Mapping[str, Any], payload: bytes) -> None:
        self._send(self._events, [PCM_TOPIC, json.dumps(header).encode(), payload])

    def _socket(self, kind: int, max_bytes: int, high_water: int) -> zmq.asyncio.Socket:
        socket = self._context.socket(kind)
        for option, value in (
            (zmq.LINGER, 0),
            (zmq.MAXMSGSIZE, max_bytes),
            (zmq.SNDHWM, high_water),
            (zmq.RCVHWM, high_water),
            (zmq.IPV6, 1),
            (zmq.HANDSHAKE_IVL, _HANDSHAKE_MS),
            (zmq.HEARTBEAT_IVL, _HEARTBEAT_MS),
            (zmq.HEARTBEAT_TIMEOUT, 2 * _HEARTBEAT_MS),
        ):
            socket.setsockopt(option, value)
        if self._keys is not None:
            self._keys.apply(socket)
        return socket

    def _send(self, socket: zmq.asyncio.Socket, frames: list[bytes]) -> bool:
        # Sent or dropped at once: what is not taken is never kept.
        future = cast("asyncio.Future[Any]", socket.send_multipart(frames, flags=zmq.NOBLOCK))
        return future.done() and future.exception() is None

    async def _read_commands(self) -> None:
        for_others = 0
        while True:
            frames = await self._commands.recv_multipart()
            # The identity, an empty frame from a REQ socket, and the command.
            if len(frames) in (2, 3) and not any(frames[1:-1]):
                client = Client("zmq", "", tuple(frames[:-1]))
                self._inbox.put((frames[-1], client))
            else:
                self._counters.add("packets_total")
                self._counters.add("malformed_total")
            for_others += 1
            if for_others % _MESSAGES_AT_ONCE == 0:
                # What waits already is received without a turn of the event loop.
                await asyncio.sleep(0)
            if self._inbox.is_crowded:
                await self._inbox.calm()

    async def _read_subscriptions(self) -> None:
        while True:
            frame = await self._events.recv()
            self._subscriptions.take(frame)


def _bind(socket: zmq.asyncio.Socket, address: str, port: int) -> int:
    host = f"[{address}]" if ":" in address else address
    try:
        socket.bind(f"tcp://{host}:{port or '*'}")
    except zmq.ZMQError as error:
        raise OSError(error.errno, error.strerror) from error
    endpoint = cast(bytes, socket.getsockopt(zmq.LAST_ENDPOINT))
    return int(endpoint.rpartition(b":")[2].rstrip(b"\0"))
