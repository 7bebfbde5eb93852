"""OSC over UDP: our own sockets, emptied as fast as they fill."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from functools import lru_cache

from bridge.control.client import Client
from bridge.control.inbox import Inbox
from bridge.control.message import Message
from bridge.control.osc_decode import MAX_PACKET_BYTES

# Asked for; the system may give less. It has to last while the event loop is busy.
_RECEIVE_BUFFER_BYTES = 4 << 20
# Others get their turn after so many packets.
_PACKETS_AT_ONCE = 512


class UdpServer:
    """Sockets on one port of each address. Bind, then start. [control]"""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._sockets: dict[socket.AddressFamily, socket.socket] = {}
        self._buffer = memoryview(bytearray(MAX_PACKET_BYTES))

    def bind(self, address: str, port: int) -> int:
        """Take a port; which one it is. Raises OSError if it is taken.

        Without SO_REUSEADDR: with it a second program could bind the port and steal what arrives.
        """
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        bound = socket.socket(family, socket.SOCK_DGRAM)
        try:
            if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # Windows shares ports unless told not to
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
            bound.setblocking(False)
            bound.bind((address, port))
        except OSError:
            bound.close()
            raise
        self._sockets[family] = bound
        size = bound.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        self._inbox.counters.set("receive_buffer_bytes", size)
        return int(bound.getsockname()[1])

    def start(self) -> None:
        """Begin to read."""
        loop = asyncio.get_running_loop()
        for bound in self._sockets.values():
            loop.add_reader(bound.fileno(), self._read, bound)

    def stop(self) -> None:
        """Close the sockets."""
        for bound in self._sockets.values():
            with contextlib.suppress(RuntimeError):  # stopped before there was a loop
                asyncio.get_running_loop().remove_reader(bound.fileno())
            bound.close()
        self._sockets.clear()

    def send(self, client: Client, message: Message) -> bool:
        family = socket.AF_INET6 if ":" in client.host else socket.AF_INET
        port = client.peer if client.reply_port is None else client.reply_port
        try:
            self._sockets[family].sendto(message.osc, (client.host, port))
        except (OSError, KeyError):  # its buffer is full, it is unreachable, or we are ending
            return False
        return True

    def can_push(self, client: Client) -> bool:
        return True

    def _read(self, bound: socket.socket) -> None:
        buffer, packets = self._buffer, []
        # Empty; or, on some systems, news about a peer that has gone.
        with contextlib.suppress(OSError):
            for _ in range(_PACKETS_AT_ONCE):
                size, address = bound.recvfrom_into(buffer)
                packets.append((bytes(buffer[:size]), _client(address[0], address[1])))
        self._inbox.put(*packets)


@lru_cache(maxsize=4096)
def _client(host: str, port: int) -> Client:
    return Client("udp", host, port)
