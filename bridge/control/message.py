"""What leaves: an address with values, for one client or for all, in OSC and in JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property

from bridge.control.client import Client
from bridge.control.osc_encode import encode_message

Value = str | int | float | bool | None


@dataclass(frozen=True)
class Message:
    """A reply or an event. Encoded once, for however many clients."""

    address: str
    args: tuple[Value, ...] = ()

    @property
    def is_aside(self) -> bool:
        """Whether it comes beside the one answer that each request has."""
        return self.address == "/mgrt/late" or self.address.startswith("/mgrt/state/")

    @cached_property
    def osc(self) -> bytes:
        """As an OSC packet."""
        return encode_message(self.address, self.args)

    @cached_property
    def json(self) -> bytes:
        """As a JSON array; True and False are 1 and 0 there too."""
        values = [int(value) if isinstance(value, bool) else value for value in self.args]
        return json.dumps([self.address, *values], separators=(",", ":")).encode()


@dataclass(frozen=True)
class Reply:
    """A message for one client."""

    client: Client
    message: Message
