"""What follows from a request, a message of a child process, or a tick of time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.control.client import Client
from bridge.control.message import Message, Reply, Value


@dataclass(frozen=True)
class Done:
    """A command that was carried out, and the session's beat from which it is heard."""

    beat: float
    address: str
    args: tuple[Any, ...]


@dataclass
class Outcome:
    """To be delivered in order; made by the session, which does no I/O itself."""

    replies: list[Reply] = field(default_factory=list)
    events: list[Message] = field(default_factory=list)
    engine: list[dict[str, Any]] = field(default_factory=list)
    playout: list[dict[str, Any]] = field(default_factory=list)
    done: list[Done] = field(default_factory=list)
    pcm: list[tuple[Mapping[str, Any], bytes]] = field(default_factory=list)
    # What is to be dropped of what waits for its time.
    is_clearing_schedule: bool = False
    is_quit: bool = False

    def reply(self, client: Client, address: str, *args: Value) -> None:
        self.replies.append(Reply(client, Message(address, args)))

    def event(self, address: str, *args: Value) -> None:
        self.events.append(Message(address, args))
