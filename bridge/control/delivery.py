"""Replies and events to clients, over whatever each of them speaks, and within limits."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Protocol

from bridge.control.client import Client
from bridge.control.control_config import is_loopback
from bridge.control.counters import Counters
from bridge.control.message import Message
from bridge.control.rate_limit import Rate, RateLimit
from bridge.control.subscribers import Subscribers

# Replies are small, go to who asked and no one else, and not without end: a forged sender gains
# nothing by letting us shout at a victim.
REPLIES = Rate(per_second=2000, burst=4000)
REFUSALS = Rate(per_second=100, burst=300)


class Transport(Protocol):
    """One way to reach clients. Sending never blocks."""

    def send(self, client: Client, message: Message) -> bool:
        """Send to one client; False if it did not take it."""

    def can_push(self, client: Client) -> bool:
        """Whether the client takes what it has not asked for, so that it can subscribe."""


class Publisher(Protocol):
    """A stream that everybody may listen to."""

    def publish(self, message: Message) -> None:
        """Send an event."""

    def publish_pcm(self, header: Mapping[str, Any], payload: bytes) -> None:
        """Send audio."""


class Delivery:
    """Who gets what. [control]"""

    def __init__(self, subscribers: Subscribers, counters: Counters) -> None:
        self._subscribers = subscribers
        self._counters = counters
        self._transports: dict[str, Transport] = {}
        self._replies = RateLimit(REPLIES)
        self._refusals = RateLimit(REFUSALS)
        self.publisher: Publisher | None = None

    def add_transport(self, name: str, transport: Transport) -> None:
        """Reach the clients of this transport through it."""
        self._transports[name] = transport

    def can_push(self, client: Client) -> bool:
        """Whether a client can subscribe."""
        transport = self._transports.get(client.transport)
        return transport is not None and transport.can_push(client)

    def reply(self, client: Client, message: Message, now_ns: int) -> None:
        """Answer one client, unless it has had too many answers of late."""
        limit = self._replies
        if message.address == "/fail":
            self._counters.add("refused_total")
            limit = self._refusals
        # Who has a connection is who it says it is, and reads what it gets or is dropped.
        if client.transport == "udp" and not limit.permits(_limited(client), now_ns):
            self._counters.add("replies_suppressed_total")
        else:
            self._send(client, message)

    def event(self, message: Message) -> None:
        """Tell all subscribers."""
        self._counters.add("events_total")
        for client in self._subscribers:
            self._send(client, message)
        if self.publisher is not None:
            self.publisher.publish(message)

    def pcm(self, header: Mapping[str, Any], payload: bytes) -> None:
        """Send audio to whoever listens."""
        if self.publisher is not None:
            self.publisher.publish_pcm(header, payload)

    def _send(self, client: Client, message: Message) -> None:
        transport = self._transports.get(client.transport)
        if transport is None or not transport.send(client, message):
            self._counters.add("sends_dropped_total")


def _limited(client: Client) -> Hashable:
    """Whose answers are counted: one client of ours, or all that claim to be of another host."""
    return client if is_loopback(client.host) else client.host
