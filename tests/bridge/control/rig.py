"""A session and its dispatcher without sockets or children: time, positions and answers are ours.

Packets are built by python-osc, which knows nothing of the code under test.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

from pythonosc.osc_bundle import OscBundle
from pythonosc.osc_bundle_builder import OscBundleBuilder
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder

from bridge.clock.source import ClockSources
from bridge.control.client import Client
from bridge.control.control_config import ControlConfig
from bridge.control.dispatcher import Dispatcher
from bridge.control.message import Message
from bridge.control.position import SECOND_NS, Position
from bridge.control.session import Session
from bridge.control.session_config import SessionConfig

RATE_HZ, HOP = 32000, 640
# An arbitrary moment of an arbitrary machine.
START_NS = 5_000 * SECOND_NS
WALL_NS = 1_790_000_000 * SECOND_NS
HORIZON_SAMPLES = 1600
READY = {
    "type": "ready",
    "model": "pocket",
    "sampling_rate_hz": RATE_HZ,
    "hop_samples": HOP,
    "attributes": ["drums", "bass"],
    "params": {"cfg": 2.5},
    "load_seconds": 1.25,
}
Reply = tuple[Any, ...]


def osc(address: str, *args: Any) -> bytes:
    """A message as python-osc builds it."""
    builder = OscMessageBuilder(address)
    for value in args:
        builder.add_arg(value)
    return bytes(builder.build().dgram)


def bundle(unix_seconds: float, *elements: bytes) -> bytes:
    """A bundle as python-osc builds it, for a time of the wall clock; 0 is immediately."""
    builder = OscBundleBuilder(unix_seconds)  # type: ignore[arg-type]
    for element in elements:
        kind = OscBundle if element.startswith(b"#bundle") else OscMessage
        builder.add_content(kind(element))
    return bytes(builder.build().dgram)


class Inboxes:
    """A transport whose clients keep what they get."""

    def __init__(self) -> None:
        self.got: defaultdict[Client, list[Message]] = defaultdict(list)

    def send(self, client: Client, message: Message) -> bool:
        # The same client on another port of its own has another inbox.
        port = client.peer if client.reply_port is None else client.reply_port
        self.got[Client(client.transport, client.host, port)].append(message)
        return True

    def can_push(self, client: Client) -> bool:
        return True


class Rig:
    """One daemon's control process as a value."""

    def __init__(
        self,
        folder: Path,
        *,
        sources: ClockSources | None = None,
        control: ControlConfig | None = None,
        **config: Any,
    ) -> None:
        self.now_ns = START_NS
        self.position = Position(RATE_HZ, HOP)
        self.engine: list[dict[str, Any]] = []
        self.playout: list[dict[str, Any]] = []
        self.quits = 0
        self.inboxes = Inboxes()
        self.session = Session(
            SessionConfig(
                inputs_folder=folder / "inputs",
                recordings_folder=folder / "recordings",
                banks_folder=folder / "banks",
                **config,
            ),
            sources,
        )
        self.dispatcher = Dispatcher(
            self.session,
            position=lambda: self.position,
            to_engine=self.engine.append,
            to_playout=self.playout.append,
            on_quit=self._quit,
            config=control or ControlConfig(),
            now_ns=lambda: self.now_ns,
            wall_ns=lambda: WALL_NS + self.now_ns - START_NS,
        )
        for name in ("udp", "tcp", "zmq"):
            self.dispatcher.delivery.add_transport(name, self.inboxes)

    def _quit(self) -> None:
        self.quits += 1

    # Clients

    def client(self, port: int = 1, transport: str = "udp", host: str = "127.0.0.1") -> Client:
        return Client(transport, host, port)

    def send(self, address: str, *args: Any, client: Client | None = None) -> list[Reply]:
        """Send a message; what its client has got by then."""
        return self.send_packet(osc(address, *args), client)

    def send_packet(self, packet: bytes, client: Client | None = None) -> list[Reply]:
        client = client or self.client()
        self.dispatcher.handle_osc(packet, client)
        return self.take(client)

    def take(self, client: Client | None = None) -> list[Reply]:
        """What a client has got since it was last asked, as (address, *values)."""
        got = self.inboxes.got.pop(client or self.client(), [])
        return [(message.address, *message.args) for message in got]

    def subscribe(self, client: Client | None = None) -> Client:
        """Subscribe and pass over the state that comes first."""
        client = client or self.client(99)
        assert self.send("/mgrt/notify", 1, client=client)[0][0] == "/done"
        return client

    # Children

    def start(self) -> Rig:
        """Both children are ready, and the music moves."""
        self.dispatcher.engine_start()
        self.dispatcher.playout_start()
        self.dispatcher.from_engine(READY)
        self.dispatcher.from_playout({"type": "ready", "device": "null", "output": "null"})
        self.move_to(0)
        self.dispatcher.tick()
        self.forget()
        return self

    def forget(self) -> None:
        """Pass over everything that was sent so far."""
        self.engine.clear()
        self.playout.clear()
        self.inboxes.got.clear()

    def commands(self) -> list[tuple[Any, ...]]:
        """The commands that the engine was sent, as (name, *args)."""
        sent = [one for one in self.engine if one["type"] == "command"]
        return [(one["name"], *one["args"]) for one in sent]

    def apply(self, frame: int = 100) -> None:
        """The engine takes all that it was sent."""
        self._answer(self.engine, self.dispatcher.from_engine, {"frame": frame})

    def apply_playout(self, **fields: Any) -> None:
        """The playout takes all that it was sent."""
        self._answer(self.playout, self.dispatcher.from_playout, fields)

    def refuse(self, reason: str = "no") -> None:
        """The engine refuses all that it was sent."""
        sent = [one["id"] for one in self.engine if "id" in one]
        self.engine.clear()
        for identity in sent:
            self.dispatcher.from_engine({"type": "failed", "id": identity, "reason": reason})

    def _answer(self, sent: list[dict[str, Any]], take: Any, fields: dict[str, Any]) -> None:
        ids = [one["id"] for one in sent if "id" in one]
        sent.clear()
        for identity in ids:
            take({"type": "applied", "id": identity, **fields})

    # Time

    def move_to(self, sample: int) -> None:
        """The music stands at this sample, and moves."""
        self.position = replace(
            self.position,
            reader_sample=sample + HORIZON_SAMPLES,
            commit_sample=sample + HORIZON_SAMPLES,
            written_end=sample + 2 * RATE_HZ,
            dac_sample=sample,
            dac_time_ns=self.now_ns,
            is_moving=True,
        )

    def advance(self, seconds: float) -> None:
        """Time passes, the music moves on, and the daemon ticks."""
        self.now_ns += round(seconds * SECOND_NS)
        if self.position.is_moving:
            self.move_to(self.position.dac_sample + round(seconds * RATE_HZ))
        self.dispatcher.tick()

    @property
    def wall_seconds(self) -> float:
        return (WALL_NS + self.now_ns - START_NS) / SECOND_NS
