"""A request that the protocol's table has let through."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.control.client import Client
from bridge.entry import Call, Entry


@dataclass(frozen=True)
class Request:
    """One command of one client. `time_tag_ns` is when a bundle wants it heard (monotonic)."""

    entry: Entry
    call: Call
    client: Client
    received_ns: int
    time_tag_ns: int | None = None
