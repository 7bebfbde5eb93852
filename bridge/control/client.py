"""Who asks: one peer of one transport."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Client:
    """A peer, and where its replies go.

    `host` is its network address ("" on this machine's own ways in); `peer` tells the peers of one
    transport and host apart: a UDP port, the number of a connection, a ZeroMQ identity, a name.
    `reply_port` is another UDP port that replies go to; it does not make another client.
    """

    transport: str
    host: str
    peer: Hashable
    reply_port: int | None = field(default=None, compare=False)

    def replying_to(self, port: int) -> Client:
        """The same client with its replies sent to another of its ports."""
        return replace(self, reply_port=port)

    def __str__(self) -> str:
        return f"{self.transport} {self.host}:{self.peer}" if self.host else str(self.transport)
