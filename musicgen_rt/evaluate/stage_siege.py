"""A daemon under siege: floods of good messages and storms of bad ones, over its real sockets.

A flood is paced by what the daemon acknowledges, never by a clock: after every so many messages the
sender asks for an answer, which comes when all of them have been taken in. So none may be lost,
over UDP either, and how many a second that makes is a figure and not a condition.
"""

from __future__ import annotations

import contextlib
import json
import random
import socket
import statistics
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import zmq
from pythonosc.osc_message import OscMessage

from musicgen_rt.errors import MusicgenRTError
from musicgen_rt.evaluate.stage_daemon import StageDaemon
from musicgen_rt.evaluate.stage_fuzz import Fuzz, message

Progress = Callable[[str, int, int], None]

TRANSPORTS = ("udp", "tcp", "zeromq")
# As many as fit into any socket's buffer.
_WINDOW = 100
_PATIENCE_SECONDS = 60.0
# Over UDP a question or its answer may be lost, where a buffer is full.
_ASK_AGAIN_SECONDS = 5.0
_MAX_BUSY_SECONDS = 0.05
_PANICS = 10
_PACKET_BYTES = 65536
_LENGTH = struct.Struct(">I")


@dataclass(frozen=True)
class SiegeSettings:
    """How much is sent, over each transport in its turn."""

    folder: Path
    messages: int = 100_000
    packets: int = 100_000
    seed: int | None = None
    model: str = "pocket"


@dataclass(frozen=True)
class Ports:
    """Where a daemon on this machine listens."""

    osc: int
    command: int
    http: int

    def metrics(self) -> dict[str, float]:
        """The numbers of /metrics, without their prefix."""
        lines = self._get("/metrics").decode().splitlines()
        pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name.removeprefix("mgrt_"): float(value) for name, _, value in pairs}

    def addresses(self) -> list[str]:
        """Every address that takes messages, as OSCQuery names them."""
        return sorted(_writable(json.loads(self._get("/"))))

    def _get(self, path: str) -> bytes:
        with urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=_PATIENCE_SECONDS) as answer:
            body: bytes = answer.read()
        return body


class Sender:
    """One client of one transport. One thread."""

    def __init__(self, transport: str, ports: Ports) -> None:
        self.transport = transport
        self._ports = ports
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._received = b""
        self._ask_again_seconds = _ASK_AGAIN_SECONDS if transport == "udp" else _PATIENCE_SECONDS
        self.connect()

    def connect(self) -> None:
        """Connect, or again after having been thrown out."""
        if self.transport == "zeromq":
            self._context = zmq.Context()
            self._zmq = self._context.socket(zmq.DEALER)
            self._zmq.setsockopt(zmq.LINGER, 0)
            self._zmq.setsockopt(zmq.RCVTIMEO, round(_PATIENCE_SECONDS * 1000))
            self._zmq.connect(f"tcp://127.0.0.1:{self._ports.command}")
            return
        kind = socket.SOCK_DGRAM if self.transport == "udp" else socket.SOCK_STREAM
        self._socket = socket.socket(socket.AF_INET, kind)
        self._socket.settimeout(self._ask_again_seconds)
        self._socket.connect(("127.0.0.1", self._ports.osc))
        if self.transport == "tcp":  # the last message of a window shall not wait for an ACK
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""

    def close(self) -> None:
        if self._context is not None:
            self._zmq.close()
            self._context.term()
        else:
            self._socket.close()

    def send(self, name: str, *args: Any) -> None:
        """One message."""
        address = f"/mgrt/{name}"
        if self._context is not None:
            self.send_bytes(json.dumps([address, *args]).encode())
            return
        packet = message(address, *args)
        self.send_bytes(packet if self.transport == "udp" else _LENGTH.pack(len(packet)) + packet)

    def send_bytes(self, data: bytes) -> None:
        """What the transport carries, as it is."""
        if self._context is not None:
            self._zmq.send(data)
        elif self.transport == "udp":
            self._socket.send(data)
        else:
            self._socket.sendall(data)

    def answers(self) -> Iterator[list[Any]]:
        """What comes, each as its address and arguments. Raises TimeoutError if nothing does."""
        while True:
            if self._context is not None:
                try:
                    yield json.loads(self._zmq.recv_multipart()[-1])
                except zmq.Again as error:
                    raise TimeoutError from error
                continue
            packet = OscMessage(self._packet())
            yield [packet.address, *packet.params]

    def sync(self, number: int) -> int:
        """Return when all that was sent has been carried out: how often that had to be asked.

        Raises TimeoutError after a minute.
        """
        return self._ask(lambda answer: answer == ["/mgrt/synced", number], "sync", number)

    def handled(self) -> int:
        """As `sync`, but when all has been taken in; the engine may still have to do it."""
        return self._ask(lambda answer: answer[0] == "/mgrt/version.reply", "version")

    def panic(self) -> int:
        """As `sync`: return when the engine has begun anew."""
        return self._ask(lambda answer: answer[:2] == ["/done", "/mgrt/gen/panic"], "gen/panic")

    def _ask(self, accepts: Callable[[list[Any]], bool], name: str, *args: Any) -> int:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        asked = 0
        while time.monotonic() < deadline:
            self.send(name, *args)
            asked += 1
            if self._has_come(accepts, min(deadline, time.monotonic() + self._ask_again_seconds)):
                return asked
        raise TimeoutError(f"no answer within {_PATIENCE_SECONDS:.0f} s")

    def _has_come(self, accepts: Callable[[list[Any]], bool], deadline: float) -> bool:
        # Other answers may come for ever.
        with contextlib.suppress(TimeoutError):
            for answer in self.answers():
                if accepts(answer):
                    return True
                if time.monotonic() >= deadline:
                    break
        return False

    def _packet(self) -> bytes:
        if self.transport == "udp":
            return self._socket.recv(_PACKET_BYTES)
        head = self._exactly(_LENGTH.size)
        return self._exactly(_LENGTH.unpack(head)[0])

    def _exactly(self, count: int) -> bytes:
        while len(self._received) < count:
            data = self._socket.recv(_PACKET_BYTES)
            if not data:
                raise ConnectionError("the daemon has closed the connection")
            self._received += data
        taken, self._received = self._received[:count], self._received[count:]
        return taken


@contextlib.contextmanager
def sending(transport: str, ports: Ports) -> Iterator[Sender]:
    """A client that is closed afterwards."""
    sender = Sender(transport, ports)
    try:
        yield sender
    finally:
        sender.close()


def flood(sender: Sender, ports: Ports, count: int) -> dict[str, Any]:
    """Send so many messages, none of them in vain; how many were handled, and how fast."""
    sender.sync(0)  # what others have sent before is handled, too
    before = ports.metrics()["messages_total"]
    began = time.monotonic()
    asked = 0
    for number in range(0, count, _WINDOW):
        for index in range(number, min(count, number + _WINDOW)):
            _fader(sender, index)
        asked += sender.handled()
    seconds = time.monotonic() - began
    asked += sender.sync(count)
    handled = round(ports.metrics()["messages_total"] - before) - asked
    return {"sent": count, "handled": handled, "messages_per_second": count / seconds}


def _fader(sender: Sender, index: int) -> None:
    if index % 2:
        sender.send("prompt/weight", 0, (index % 1000) / 1000)
    else:
        sender.send("param/set/cfg", 1 + (index % 1000) / 200)


def panics(sender: Sender) -> dict[str, float]:
    """How long gen/panic takes, in milliseconds, behind as many faders as fit into a buffer."""
    found = []
    for _ in range(_PANICS):
        for index in range(_WINDOW):
            _fader(sender, index)
        began = time.monotonic()
        sender.panic()
        found.append(1000 * (time.monotonic() - began))
        sender.sync(0)
    return {"median": statistics.median(found), "worst": max(found)}


def storm(sender: Sender, fuzz: Fuzz, count: int) -> dict[str, Any]:
    """Send so many damaged packets; how often the daemon threw the sender out."""
    make = {"udp": fuzz.osc, "tcp": fuzz.stream, "zeromq": fuzz.json}[sender.transport]
    thrown_out = 0
    for number in range(count):
        try:
            sender.send_bytes(make())
            # Over UDP what comes too fast is lost unseen: let it be taken in first.
            if number % _WINDOW == _WINDOW - 1 and sender.transport != "tcp":
                sender.handled()
        except ConnectionError:
            thrown_out += 1
            sender.close()
            sender.connect()
    with contextlib.suppress(ConnectionError):  # thrown out: the rest was never taken
        sender.sync(count)
    return {"packets": count, "thrown_out": thrown_out}


def evaluate_siege(settings: SiegeSettings, progress: Progress) -> dict[str, Any]:
    """Flood and storm a daemon; the report as JSON, its `complaints` empty if it stood.

    Raises MusicgenRTError if it does not come up or does not answer any more.
    """
    seed = random.randrange(2**32) if settings.seed is None else settings.seed
    floods: dict[str, Any] = {}
    storms: dict[str, Any] = {}
    panicked_ms: dict[str, Any] = {}
    arguments = ("--output", "null", "--model", settings.model)
    with StageDaemon(settings.folder, *arguments) as daemon:
        listening = daemon.event("listening")
        ports = Ports(listening["osc"], listening["command"], listening["http"])
        daemon.until_playing()
        fuzz = Fuzz([one for one in ports.addresses() if not one.endswith("/quit")], seed)
        try:
            for number, transport in enumerate(TRANSPORTS):
                progress("siege", number, len(TRANSPORTS))
                with sending(transport, ports) as sender:
                    floods[transport] = flood(sender, ports, settings.messages // 3)
                    panicked_ms[transport] = panics(sender)
                with sending(transport, ports) as sender:
                    storms[transport] = storm(sender, fuzz, settings.packets // 3)
            metrics = ports.metrics()
        except (OSError, TimeoutError) as error:
            raise MusicgenRTError(f"the daemon does not answer (seed {seed}): {error!r}") from error
        restarts = sum("started again" in line["text"] for line in daemon.lines())
        daemon.end()
        code = daemon.process.returncode
    report = _report(settings, seed, floods, storms, metrics, {"exit": code, "restarts": restarts})
    return {**report, "panicked_ms": panicked_ms}


def _report(
    settings: SiegeSettings,
    seed: int,
    floods: Mapping[str, Any],
    storms: Mapping[str, Any],
    metrics: Mapping[str, float],
    end: Mapping[str, int],
) -> dict[str, Any]:
    lost = {name: one["sent"] - one["handled"] for name, one in floods.items()}
    busy_seconds = metrics["loop_busy_max_seconds"]
    complaints = [f"{count} messages lost over {name}" for name, count in lost.items() if count]
    for is_wrong, text in (
        (metrics["handler_errors_total"] > 0, "a handler failed"),
        (
            busy_seconds > _MAX_BUSY_SECONDS,
            f"one turn of the loop took {1000 * busy_seconds:.0f} ms",
        ),
        (end["exit"] != 0, f"exit code {end['exit']}"),
        (end["restarts"] > 0, f"{end['restarts']} restarts"),
    ):
        complaints += [text] if is_wrong else []
    return {
        "model": settings.model,
        "seed": seed,
        "complaints": complaints,
        "floods": floods,
        "storms": storms,
        "malformed": metrics["malformed_total"],
        "overflow": metrics["overflow_total"],
        "handler_errors": metrics["handler_errors_total"],
        "loop_busy_max_ms": 1000 * busy_seconds,
        "loop_gap_max_ms": 1000 * metrics["loop_gap_max_seconds"],
    }


def _writable(node: Mapping[str, Any]) -> Iterator[str]:
    """The addresses below a node of OSCQuery's tree that may be written."""
    if int(node.get("ACCESS", 0)) & 2:
        yield str(node["FULL_PATH"])
    for child in node.get("CONTENTS", {}).values():
        yield from _writable(child)
