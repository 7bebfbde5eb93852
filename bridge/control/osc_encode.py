"""Values to OSC 1.0 packets, in the types that every client reads."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from bridge.control.osc_decode import BUNDLE_HEAD, INT32, MAX_PACKET_BYTES, UINT64, OscError

_INT32_RANGE = (-(2**31), 2**31 - 1)


def encode_message(address: str, args: Sequence[Any] = ()) -> bytes:
    """One message of numbers, texts, blobs and None.

    True and False go as the numbers 1 and 0, and a whole number beyond 32 bits is followed by
    itself as a float, for clients that drop 64-bit values. Raises OscError for another type and
    for a message beyond MAX_PACKET_BYTES.
    """
    tags, body = [","], []
    for value in args:
        tag, data = _encoded(value)
        tags.append(tag)
        body.append(data)
    message = b"".join([_encode_text(address), _encode_text("".join(tags)), *body])
    if len(message) > MAX_PACKET_BYTES:
        raise OscError(f"a message of {len(message)} bytes: expected at most {MAX_PACKET_BYTES}")
    return message


def encode_bundle(time_tag: int, elements: Sequence[bytes]) -> bytes:
    """A bundle of encoded messages and bundles."""
    sized = (INT32.pack(len(element)) + element for element in elements)
    return b"".join([BUNDLE_HEAD, UINT64.pack(time_tag), *sized])


def _encoded(value: Any) -> tuple[str, bytes]:
    if isinstance(value, int):
        if _INT32_RANGE[0] <= value <= _INT32_RANGE[1]:
            return "i", INT32.pack(value)
        if -(2**63) <= value < 2**63:
            return "hf", struct.pack(">qf", value, value)
    if isinstance(value, float):
        return "f", _float32(value)
    if isinstance(value, str):
        return "s", _encode_text(value)
    if isinstance(value, bytes):
        return "b", INT32.pack(len(value)) + value + bytes(-len(value) % 4)
    if value is None:
        return "N", b""
    raise OscError(f"{value!r} cannot be sent: expected a number, text, bytes or None")


def _float32(value: float) -> bytes:
    try:
        return struct.pack(">f", value)
    except OverflowError:  # beyond the largest 32-bit float
        return struct.pack(">f", float("inf") if value > 0 else float("-inf"))


def _encode_text(text: str) -> bytes:
    # A zero would end the text early.
    data = text.replace("\0", "").encode("utf-8", errors="replace")
    return data + bytes(4 - len(data) % 4)
