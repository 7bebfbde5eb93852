"""Packets within a byte stream: OSC 1.0 over TCP (length first) and 1.1 (SLIP), without any I/O."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Protocol

from bridge.control.osc_decode import MAX_PACKET_BYTES

END, ESCAPE, ESCAPED_END, ESCAPED_ESCAPE = 0xC0, 0xDB, 0xDC, 0xDD

_LENGTH = struct.Struct(">I")
_END = bytes([END])
_ESCAPE = bytes([ESCAPE])


class FramingError(ValueError):
    """A stream that cannot be divided into packets; nothing after it can be trusted."""


class Framing(Protocol):
    """Bytes in, whole packets out, whatever the pieces; and packets to bytes."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The packets that are complete with `data`. Raises FramingError."""

    def frame(self, packet: bytes) -> bytes:
        """What to write for a packet."""

    @property
    def is_within_packet(self) -> bool:
        """Whether a packet has begun that is not complete."""


def framing_for(first_byte: int) -> Framing:
    """The framing that a client speaks, told by the first byte it sends.

    A length of at most 64 KiB begins with 0; SLIP begins with its END or at once with a packet.
    Raises FramingError for any other byte.
    """
    if first_byte == 0:
        return LengthFraming()
    if first_byte in (END, ord("/"), ord("#")):
        return SlipFraming()
    raise FramingError(
        f"a stream that begins with the byte {first_byte}: expected a length of at most "
        f"{MAX_PACKET_BYTES} bytes or SLIP"
    )


class LengthFraming:
    """Each packet after its length as a big-endian 32-bit number."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def is_within_packet(self) -> bool:
        return bool(self._buffer)

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._buffer += data
        at = 0
        try:
            while len(self._buffer) - at >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(self._buffer, at)
                if not 0 < length <= MAX_PACKET_BYTES:
                    raise FramingError(
                        f"a packet of {length} bytes: expected 1 to {MAX_PACKET_BYTES}"
                    )
                start = at + _LENGTH.size
                if len(self._buffer) - start < length:
                    break
                at = start + length
                yield bytes(self._buffer[start:at])
        finally:
            del self._buffer[:at]

    def frame(self, packet: bytes) -> bytes:
        return _LENGTH.pack(len(packet)) + packet


class SlipFraming:
    """Packets between END bytes, with END and ESCAPE themselves escaped (RFC 1055)."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def is_within_packet(self) -> bool:
        return bool(self._buffer)

    def feed(self, data: bytes) -> Iterator[bytes]:
        *complete, rest = data.split(_END)
        for piece in complete:
            raw = bytes(self._buffer) + piece
            self._buffer.clear()
            _check_length(raw)
            if raw:  # two ENDs in a row enclose nothing
                yield _unescaped(raw)
        self._buffer += rest
        _check_length(self._buffer)

    def frame(self, packet: bytes) -> bytes:
        escaped = packet.replace(_ESCAPE, bytes([ESCAPE, ESCAPED_ESCAPE]))
        escaped = escaped.replace(_END, bytes([ESCAPE, ESCAPED_END]))
        # An END before it ends whatever noise a line may have carried.
        return _END + escaped + _END


def _check_length(raw: bytes | bytearray) -> None:
    # Every byte may be escaped; the packet's own length is checked where it is decoded.
    if len(raw) > 2 * MAX_PACKET_BYTES:
        raise FramingError(f"a packet of more than {MAX_PACKET_BYTES} bytes")


def _unescaped(raw: bytes) -> bytes:
    first, *pieces = raw.split(_ESCAPE)
    unescaped = [first]
    for piece in pieces:
        if piece[:1] == bytes([ESCAPED_END]):
            unescaped.append(_END + piece[1:])
        elif piece[:1] == bytes([ESCAPED_ESCAPE]):
            unescaped.append(_ESCAPE + piece[1:])
        else:
            raise FramingError("an escape that is followed by neither of its two bytes")
    return b"".join(unescaped)
