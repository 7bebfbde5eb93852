"""OSC 1.0 packets to values: a strict parser whose work is bounded by the packet's length.

Whatever does not follow the specification raises OscError and nothing else; nothing is guessed.
Written after the OSC 1.0 specification (opensoundcontrol.stanford.edu), with the types of its
non-standard table: i f s b and h d t T F N I S c r m [ ].
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any

MAX_PACKET_BYTES = 1 << 16
MAX_ADDRESS_CHARS = 255
MAX_ARGUMENTS = 64
MAX_ARRAY_DEPTH = 4
MAX_BUNDLE_DEPTH = 4
MAX_ELEMENTS = 1024
IMMEDIATELY = 1

BUNDLE_HEAD = b"#bundle\0"
INT32 = struct.Struct(">i")
UINT64 = struct.Struct(">Q")
_FIXED_FORMATS = {"i": "i", "h": "q", "f": "f", "d": "d"}
_WITHOUT_DATA = {"T": True, "F": False, "N": None}


class OscError(ValueError):
    """Bytes that are no OSC 1.0 packet, or beyond the limits above."""


class Impulse(Enum):
    """The value of the type I, which has no data."""

    IMPULSE = "I"


@dataclass(frozen=True)
class TimeTag:
    """A time as NTP writes it: seconds since 1900 in the upper, fractions in the lower 32 bits."""

    ntp: int


@dataclass(frozen=True)
class Rgba:
    """A colour: four bytes."""

    channels: bytes


@dataclass(frozen=True)
class MidiBytes:
    """A MIDI message as the type m carries it: port, status and two data bytes."""

    data: bytes


@dataclass(frozen=True)
class OscMessage:
    """An address, which may be a pattern, and its arguments; arrays are tuples."""

    address: str
    args: tuple[Any, ...] = ()


@dataclass(frozen=True)
class OscBundle:
    """Elements for the time `time_tag` (NTP; IMMEDIATELY is the special value 1)."""

    time_tag: int
    elements: tuple[OscMessage | OscBundle, ...]


def decode_packet(data: bytes) -> OscMessage | OscBundle:
    """The message or bundle that `data` is, all of it. Raises OscError."""
    if not data or len(data) % 4 or len(data) > MAX_PACKET_BYTES:
        raise OscError(
            f"{len(data)} bytes: expected a multiple of 4, at most {MAX_PACKET_BYTES}, not 0"
        )
    if data.startswith(BUNDLE_HEAD):
        return _Bundles().decode(data, 1)
    return _decode_message(data)


class _Bundles:
    """Decodes a bundle and counts all that is in it."""

    def __init__(self) -> None:
        self._elements = 0

    def decode(self, data: bytes, depth: int) -> OscBundle:
        if depth > MAX_BUNDLE_DEPTH:
            raise OscError(f"bundles nested deeper than {MAX_BUNDLE_DEPTH}")
        if len(data) < 16:
            raise OscError("a bundle without a time tag")
        (time_tag,) = UINT64.unpack_from(data, 8)
        elements: list[OscMessage | OscBundle] = []
        at = 16
        while at < len(data):
            end = self._element_end(data, at)
            element = data[at + 4 : end]
            if element.startswith(BUNDLE_HEAD):
                elements.append(self.decode(element, depth + 1))
            else:
                elements.append(_decode_message(element))
            at = end
        return OscBundle(time_tag, tuple(elements))

    def _element_end(self, data: bytes, at: int) -> int:
        self._elements += 1
        if self._elements > MAX_ELEMENTS:
            raise OscError(f"a bundle of more than {MAX_ELEMENTS} elements")
        (size,) = INT32.unpack_from(data, at)
        left = len(data) - at - 4
        if size <= 0 or size % 4 or size > left:
            raise OscError(f"a bundle element of {size} bytes where {left} are left")
        return at + 4 + size


def _decode_message(data: bytes) -> OscMessage:
    if data[:1] != b"/":
        raise OscError("neither an address nor a bundle")
    end = data.find(b"\0")
    if end < 0:
        raise OscError("an address without an end")
    address, at = _address(data[:end]), _padded_end(data, end)
    if at == len(data):
        return OscMessage(address)  # some senders leave out the tags of a message without arguments
    tags, at = _tags(data, at)
    fixed = _fixed_size(tags)
    if fixed is not None:
        if len(data) - at != fixed.size:
            raise OscError(f"{len(data) - at} bytes of arguments: {fixed.size} are announced")
        return OscMessage(address, fixed.unpack_from(data, at))
    reader = _Arguments(data, at)
    args = reader.read(tags)
    if reader.at != len(data):
        raise OscError(f"{len(data) - reader.at} bytes after the last argument")
    return OscMessage(address, args)


@lru_cache(maxsize=1024)
def _address(raw: bytes) -> str:
    # Pattern characters are among them; spaces and # are not.
    if len(raw) > MAX_ADDRESS_CHARS or any(
        not 0x21 <= byte <= 0x7E or byte == 0x23 for byte in raw
    ):
        raise OscError(f"an address that is not 1 to {MAX_ADDRESS_CHARS} printable characters")
    return raw.decode("ascii")


def _tags(data: bytes, at: int) -> tuple[str, int]:
    end = data.find(b"\0", at)
    if end < 0 or data[at : at + 1] != b",":
        raise OscError("arguments without type tags")
    if end - at - 1 > MAX_ARGUMENTS:
        raise OscError(f"more than {MAX_ARGUMENTS} arguments")
    try:
        tags = data[at + 1 : end].decode("ascii")
    except UnicodeDecodeError as error:
        raise OscError("type tags that are no ASCII") from error
    return tags, _padded_end(data, end)


@lru_cache(maxsize=256)
def _fixed_size(tags: str) -> struct.Struct | None:
    """The layout of arguments that are all numbers."""
    formats = [_FIXED_FORMATS.get(tag) for tag in tags]
    if None in formats:
        return None
    return struct.Struct(">" + "".join(one for one in formats if one is not None))


def _padded_end(data: bytes, end: int) -> int:
    """The position after the zeros that close and pad a string whose text ends at `end`."""
    padded = end + 4 - end % 4
    if padded > len(data) or any(data[end:padded]):
        raise OscError("a string that is not padded with zeros to 4 bytes")
    return padded


class _Arguments:
    """Reads one argument after the other."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self.at = at

    def read(self, tags: str) -> tuple[Any, ...]:
        stack: list[list[Any]] = [[]]
        for tag in tags:
            if tag == "[":
                if len(stack) > MAX_ARRAY_DEPTH:
                    raise OscError(f"arrays nested deeper than {MAX_ARRAY_DEPTH}")
                stack.append([])
            elif tag == "]":
                if len(stack) == 1:
                    raise OscError("an array that ends without a beginning")
                array = tuple(stack.pop())
                stack[-1].append(array)
            else:
                stack[-1].append(self._one(tag))
        if len(stack) != 1:
            raise OscError("an array without an end")
        return tuple(stack[0])

    def _one(self, tag: str) -> Any:
        if tag in _FIXED_FORMATS:
            layout = struct.Struct(">" + _FIXED_FORMATS[tag])
            return layout.unpack(self._take(layout.size))[0]
        if tag in "sS":
            return self._text()
        if tag == "b":
            return self._blob()
        if tag in _WITHOUT_DATA:
            return _WITHOUT_DATA[tag]
        if tag == "I":
            return Impulse.IMPULSE
        return self._rare(tag)

    def _rare(self, tag: str) -> Any:
        if tag == "t":
            return TimeTag(UINT64.unpack(self._take(8))[0])
        if tag == "c":
            (code,) = INT32.unpack(self._take(4))
            if not 0 <= code < 128:
                raise OscError(f"the character {code}: expected ASCII")
            return chr(code)
        if tag == "r":
            return Rgba(self._take(4))
        if tag == "m":
            return MidiBytes(self._take(4))
        raise OscError(f"the unknown type {tag!r}")

    def _take(self, count: int) -> bytes:
        piece = self._data[self.at : self.at + count]
        if len(piece) != count:
            raise OscError("an argument that is cut off")
        self.at += count
        return piece

    def _text(self) -> str:
        end = self._data.find(b"\0", self.at)
        if end < 0:
            raise OscError("a string without an end")
        try:
            text = self._data[self.at : end].decode("utf-8")
        except UnicodeDecodeError as error:
            raise OscError("a string that is no UTF-8") from error
        self.at = _padded_end(self._data, end)
        return text

    def _blob(self) -> bytes:
        (size,) = INT32.unpack(self._take(4))
        if not 0 <= size <= len(self._data) - self.at:
            raise OscError(f"a blob of {size} bytes")
        blob = self._take(size)
        if any(self._take(-size % 4)):
            raise OscError("a blob that is not padded with zeros")
        return blob
