"""Packets that are almost right, and some that are not at all: what no daemon may stumble over."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Sequence
from typing import Any

from pythonosc.osc_message_builder import OscMessageBuilder

# What a value of the right or a wrong type may be.
_VALUES: tuple[Any, ...] = (
    0, 1, -1, 2**31 - 1, 0.5, float("nan"), float("inf"), "", "bar", "drums", "on", "x" * 300,
    "Grüße", True, False, "@5000", "../../etc/passwd",
)  # fmt: skip
# Words that mean something somewhere in a packet.
_WORDS = (b"\0\0\0\0", b"\xff\xff\xff\xfc", b"\x7f\xff\xff\xff", b"#bundle\0", b",sif", b"[[[[")
_IMMEDIATELY = 1
_GARBAGE_PART = 0.05
_MESSAGES_PER_ADDRESS = 3
_MOST_DAMAGES = 4


class Fuzz:
    """Packets drawn from a seed, the same for the same addresses. One thread."""

    def __init__(self, addresses: Sequence[str], seed: int) -> None:
        self.seed = seed
        self._random = draw = random.Random(seed)
        self._addresses = list(addresses)
        self._corpus = [
            message(address, *draw.choices(_VALUES, k=draw.randrange(4)))
            for address in self._addresses
            for _ in range(_MESSAGES_PER_ADDRESS)
        ]
        self._corpus += [bundle(*draw.choices(self._corpus, k=3))]
        self._corpus += [bundle(bundle(*draw.choices(self._corpus, k=3)))]
        self._corpus += [message("/mgrt/*/{a,b}*[!x]?", 1), message("/{" + "a," * 40 + "}*")]

    def osc(self) -> bytes:
        """One packet of OSC, damaged or whole."""
        if self._random.random() < _GARBAGE_PART:
            return self._random.randbytes(self._random.randrange(200))
        packet = bytearray(self._random.choice(self._corpus))
        for _ in range(self._random.randrange(_MOST_DAMAGES)):
            self.damage(packet)
        return bytes(packet)

    def json(self) -> bytes:
        """One message as a JSON array, damaged or whole."""
        values = [self._random.choice(self._addresses), *self._random.choices(_VALUES, k=3)]
        text = bytearray(json.dumps(values).encode())
        for _ in range(self._random.randrange(_MOST_DAMAGES - 1)):
            self.damage(text)
        return bytes(text)

    def stream(self) -> bytes:
        """One packet of OSC over TCP, behind its length."""
        packet = self.osc()
        return struct.pack(">I", len(packet)) + packet

    def damage(self, packet: bytearray) -> None:
        """Change a packet in one place."""
        at = self._random.randrange(len(packet) + 1)
        kind = self._random.randrange(5)
        if kind == 0 and at < len(packet):
            packet[at] = self._random.randrange(256)
        elif kind == 1:
            packet[at:at] = self._random.choice(_WORDS)
        elif kind == 2:
            del packet[at : at + self._random.randrange(1, 9)]
        elif kind == 3:
            word = at // 4 * 4
            packet[word : word + 4] = self._random.choice(_WORDS)[:4]
        else:
            packet += packet[at : at + 64]


def message(address: str, *args: Any) -> bytes:
    """One OSC message, by python-osc."""
    builder = OscMessageBuilder(address)
    for value in args:
        builder.add_arg(value)
    return builder.build().dgram


def bundle(*elements: bytes, time_tag: int = _IMMEDIATELY) -> bytes:
    """An OSC bundle of packets."""
    parts = (struct.pack(">i", len(one)) + one for one in elements)
    return struct.pack(">8sQ", b"#bundle\0", time_tag) + b"".join(parts)
