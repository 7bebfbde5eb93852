"""Commands as JSON arrays: `["/mgrt/prompt/set", 0, "deep house", 1.0]`."""

from __future__ import annotations

import json
from typing import Any

from bridge.control.osc_decode import MAX_ADDRESS_CHARS, MAX_ARGUMENTS, MAX_PACKET_BYTES
from bridge.refusal import Refusal

_EXAMPLE = '["/mgrt/prompt/set", 0, "deep house"]'


def decode_json(data: bytes) -> tuple[str, tuple[Any, ...]]:
    """Address and arguments. Raises Refusal for anything else, however it is made."""
    if len(data) > MAX_PACKET_BYTES:
        raise Refusal(f"{len(data)} bytes: expected at most {MAX_PACKET_BYTES}")
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Refusal(f"not JSON: expected an array such as {_EXAMPLE}") from error
    if not isinstance(value, list) or not value or not isinstance(value[0], str):
        raise Refusal(f"not a command: expected an array such as {_EXAMPLE}")
    address, *args = value
    if len(address) > MAX_ADDRESS_CHARS or not (address.isascii() and address.isprintable()):
        raise Refusal(f"an address that is not 1 to {MAX_ADDRESS_CHARS} printable characters")
    if len(args) > MAX_ARGUMENTS:
        raise Refusal(f"{len(args)} arguments: expected at most {MAX_ARGUMENTS}")
    return address, tuple(args)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
