"""OSC over TCP, framed as OSC 1.0 or 1.1 say; each connection is a client."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, cast

from bridge.control.client import Client
from bridge.control.framing import Framing, FramingError, framing_for
from bridge.control.inbox import Inbox
from bridge.control.message import Message

if TYPE_CHECKING:
    from collections.abc import Callable

# A client that does not read gets no more until it does.
MAX_UNREAD_BYTES = 1 << 18
# Who has closed its side may still wait for an answer, or be gone: the two look the same.
_LINGER_SECONDS = 0.5

_log = logging.getLogger("mgrt.osc")


class TcpServer:
    """Listens, and knows its connections. [control]"""

    def __init__(
        self,
        inbox: Inbox,
        forget: Callable[[Client], None],
        *,
        read_deadline_seconds: float,
        max_connections: int,
    ) -> None:
        """`forget` is called when a connection has ended."""
        self.inbox = inbox
        self.forget = forget
        self.read_deadline_seconds = read_deadline_seconds
        self.max_connections = max_connections
        self.connections: dict[Client, TcpConnection] = {}
        self.accepted = 0
        self._servers: list[asyncio.Server] = []

    async def listen(self, address: str, port: int) -> int:
        """Take a port; which one it is. Raises OSError if it is taken."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: TcpConnection(self), address, port)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    def stop(self) -> None:
        """Stop listening and cut all connections."""
        for server in self._servers:
            server.close()
        for connection in list(self.connections.values()):
            connection.abort()
        self._servers.clear()

    def send(self, client: Client, message: Message) -> bool:
        connection = self.connections.get(client)
        return connection is not None and connection.send(message)

    def can_push(self, client: Client) -> bool:
        return client in self.connections


class TcpConnection(asyncio.Protocol):
    """One client's stream. [control]"""

    def __init__(self, server: TcpServer) -> None:
        self._server = server
        self._framing: Framing | None = None
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._client = Client("tcp", "", 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        server = self._server
        if len(server.connections) >= server.max_connections:
            server.inbox.counters.add("connections_refused_total")
            self._transport.abort()
            return
        server.accepted += 1
        host = self._transport.get_extra_info("peername", ("",))[0]
        self._client = Client("tcp", host, server.accepted)
        server.connections[self._client] = self

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_deadline()
        if self._server.connections.pop(self._client, None) is not None:
            self._server.forget(self._client)

    def data_received(self, data: bytes) -> None:
        try:
            if self._framing is None:
                self._framing = framing_for(data[0])
            has_packet = False
            for packet in self._framing.feed(data):
                has_packet = True
                self._server.inbox.put((packet, self._client))
        except FramingError as error:
            self._server.inbox.counters.add("malformed_total")
            _log.warning("malformed: from %s: %s", self._client, error)
            self.abort()
            return
        self._watch(has_packet)
        if self._server.inbox.is_crowded:
            self._pause()

    def eof_received(self) -> bool:
        self._start_deadline(_LINGER_SECONDS)
        return True

    def send(self, message: Message) -> bool:
        """Write a message; False if too much is unread already."""
        transport = self._transport
        if transport is None or self._framing is None or transport.is_closing():
            return False
        if transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            return False
        transport.write(self._framing.frame(message.osc))
        return True

    def abort(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _watch(self, has_packet: bool) -> None:
        """See to it that a packet that has begun is complete in time, however it trickles in."""
        if self._framing is None or not self._framing.is_within_packet:
            self._stop_deadline()
        elif has_packet or self._deadline is None:
            self._start_deadline(self._server.read_deadline_seconds)

    def _start_deadline(self, seconds: float) -> None:
        self._stop_deadline()
        self._deadline = asyncio.get_running_loop().call_later(seconds, self.abort)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _pause(self) -> None:
        assert self._transport is not None
        self._stop_deadline()
        self._transport.pause_reading()
        self._server.inbox.when_calm(self._resume)

    def _resume(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._watch(has_packet=True)
        self._transport.resume_reading()
