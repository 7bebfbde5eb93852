"""The trailing `@port`, for clients that receive on another port than they send from."""

from __future__ import annotations

import re
from typing import Any

from bridge.control.client import Client
from bridge.refusal import Refusal

_REPLY_PORT = re.compile(r"@([0-9]{1,5})")


def take_reply_port(client: Client, args: tuple[Any, ...]) -> tuple[Client, tuple[Any, ...]]:
    """Client and arguments without a trailing `@port`, which only means a port of its own host.

    Raises Refusal for a port that does not exist.
    """
    if client.transport != "udp" or not args or not isinstance(args[-1], str):
        return client, args
    match = _REPLY_PORT.fullmatch(args[-1])
    if match is None:
        return client, args
    port = int(match[1])
    if not 1 <= port <= 65535:
        raise Refusal(f"reply port {port}: expected @1 to @65535")
    return client.replying_to(port), args[:-1]
