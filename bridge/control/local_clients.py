"""Clients within this process: MIDI ports, the scene at the start."""

from __future__ import annotations

import logging
from collections.abc import Callable

from bridge.control.client import Client
from bridge.control.message import Message

OnReply = Callable[[Message], None]


class LocalClients:
    """Transport to callbacks. [control]"""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._callbacks: dict[Client, OnReply] = {}

    def client(self, name: str, reply: OnReply | None) -> Client:
        """The client of that name, whose replies go to `reply` from now on."""
        client = Client("local", "", name)
        self._callbacks[client] = self._log_refusal if reply is None else reply
        return client

    def forget(self, name: str) -> None:
        """No more replies for it."""
        self._callbacks.pop(Client("local", "", name), None)

    def send(self, client: Client, message: Message) -> bool:
        """Hand a message over; False if nobody waits for it."""
        callback = self._callbacks.get(client)
        if callback is None:
            return False
        callback(message)
        return True

    def can_push(self, client: Client) -> bool:
        """Whether it takes what it has not asked for."""
        return client in self._callbacks

    def _log_refusal(self, message: Message) -> None:
        if message.address == "/fail":
            self._log.warning("%s", " ".join(str(value) for value in message.args))
