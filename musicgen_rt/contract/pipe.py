"""Messages between the daemon's processes: JSON headers with an optional payload, over a socket.

A message is a mapping with a "type". On the wire: the header's and the payload's length as two
unsigned 32-bit big-endian numbers, the header as UTF-8 JSON, then the payload's bytes. Both ends
are ours and inherit the socket; the limits guard against a fault, not against an attacker.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from musicgen_rt.errors import ParameterError

MAX_HEADER_BYTES = 1 << 20
MAX_PAYLOAD_BYTES = 1 << 24

_LENGTHS = struct.Struct(">II")
_READ_BYTES = 1 << 16


def encode(message: Mapping[str, Any], payload: bytes = b"") -> bytes:
    """One message's bytes. Raises ParameterError if it is too long."""
    header = json.dumps(message, allow_nan=False, separators=(",", ":")).encode()
    _check_lengths(len(header), len(payload))
    return _LENGTHS.pack(len(header), len(payload)) + header + payload


class Decoder:
    """Bytes in, whole messages out, whatever the pieces."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
        """The messages that are complete with `data`. Raises ParameterError for nonsense."""
        self._buffer += data
        while (message := self._next()) is not None:
            yield message

    def _next(self) -> tuple[dict[str, Any], bytes] | None:
        start = _LENGTHS.size
        if len(self._buffer) < start:
            return None
        header_bytes, payload_bytes = _LENGTHS.unpack_from(self._buffer)
        _check_lengths(header_bytes, payload_bytes)
        end = start + header_bytes + payload_bytes
        if len(self._buffer) < end:
            return None
        try:
            header = json.loads(self._buffer[start : start + header_bytes])
        except ValueError as error:
            raise ParameterError(f"a message that is no JSON: {error}") from error
        if not isinstance(header, dict) or not isinstance(header.get("type"), str):
            raise ParameterError("a message without a type")
        payload = bytes(self._buffer[start + header_bytes : end])
        del self._buffer[:end]
        return header, payload


class Pipe:
    """One end of a connected stream socket, blocking. One reading and one writing thread."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._decoder = Decoder()

    @classmethod
    def inherited(cls, file_descriptor: int) -> Pipe:
        """The end that a parent process passed on."""
        return cls(socket.socket(fileno=file_descriptor))

    def send(self, message: Mapping[str, Any], payload: bytes = b"") -> None:
        """Send one message. Raises OSError when the other end has gone."""
        self._socket.sendall(encode(message, payload))

    def receive(self) -> Iterator[tuple[dict[str, Any], bytes]]:
        """All messages until the other end closes."""
        while data := self._read():
            yield from self._decoder.feed(data)

    def close(self) -> None:
        self._socket.close()

    def _read(self) -> bytes:
        try:
            return self._socket.recv(_READ_BYTES)
        except ConnectionError:
            return b""


def _check_lengths(header_bytes: int, payload_bytes: int) -> None:
    if header_bytes > MAX_HEADER_BYTES or payload_bytes > MAX_PAYLOAD_BYTES:
        raise ParameterError(
            f"a message of {header_bytes} + {payload_bytes} bytes: expected at most "
            f"{MAX_HEADER_BYTES} + {MAX_PAYLOAD_BYTES}"
        )
