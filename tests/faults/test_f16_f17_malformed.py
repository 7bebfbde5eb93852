"""F16: whatever bytes arrive, the worst is a number in /metrics. F17: nor does a fault of ours."""

from __future__ import annotations

import json
import logging
import os
import random
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zmq

from bridge.control import session
from bridge.control.framing import FramingError, framing_for
from bridge.control.handlers import HANDLERS
from bridge.protocol import COMMANDS
from tests.bridge.control.live_servers import PATIENCE_SECONDS, LiveServers
from tests.bridge.control.rig import Rig, bundle, osc

PACKETS = 100_000
SOCKET_PACKETS = 3_000
MAX_HANDLING_NS = 50_000_000

ADDRESSES = [entry.address for entry in COMMANDS]
VALUES: list[Any] = [0, 1, -1, 2**31 - 1, 0.5, float("nan"), float("inf"), "", "bar", "drums"]
VALUES += ["on", "x" * 300, "Grüße", b"\0\xff", True, False, None, "@5000", "../../etc/passwd"]
SPECIALS = [b"\0\0\0\0", b"\xff\xff\xff\xfc", b"\x7f\xff\xff\xff", b"#bundle\0", b",sif", b"[[[["]


class Fuzz:
    """Packets that are almost right, and some that are not at all."""

    def __init__(self) -> None:
        self.seed = int(os.environ.get("MUSICGEN_RT_FUZZ_SEED") or random.randrange(2**32))
        self._random = random.Random(self.seed)
        print(f"MUSICGEN_RT_FUZZ_SEED={self.seed}")
        build = self._random
        self._corpus = [
            osc(address, *build.choices(VALUES[:-2], k=build.randrange(4)))
            for address in ADDRESSES
            for _ in range(3)
        ]
        self._corpus += [bundle(build.choice([0, 2e9]), *build.choices(self._corpus, k=3))]
        self._corpus += [bundle(0, bundle(0, *build.choices(self._corpus, k=3)))]
        self._corpus += [osc("/mgrt/*/{a,b}*[!x]?", 1), osc("/{" + "a," * 40 + "}*")]

    def osc(self) -> bytes:
        if self._random.random() < 0.05:
            return self._random.randbytes(self._random.randrange(200))
        packet = bytearray(self._random.choice(self._corpus))
        for _ in range(self._random.randrange(4)):
            self._damage(packet)
        return bytes(packet)

    def json(self) -> bytes:
        values = self._random.choices(VALUES[:8] + VALUES[9:13] + VALUES[14:], k=3)
        text = bytearray(
            json.dumps([self._random.choice(ADDRESSES), *map(_plain, values)]).encode()
        )
        for _ in range(self._random.randrange(3)):
            self._damage(text)
        return bytes(text)

    def _damage(self, packet: bytearray) -> None:
        at = self._random.randrange(len(packet) + 1)
        kind = self._random.randrange(5)
        if kind == 0 and at < len(packet):
            packet[at] = self._random.randrange(256)
        elif kind == 1:
            packet[at:at] = self._random.choice(SPECIALS)
        elif kind == 2:
            del packet[at : at + self._random.randrange(1, 9)]
        elif kind == 3:
            word = at // 4 * 4
            packet[word : word + 4] = self._random.choice(SPECIALS)[:4]
        else:
            packet += packet[at : at + 64]


def _plain(value: Any) -> Any:
    return None if isinstance(value, bytes) else value


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


def test_f16_a_hundred_thousand_packets_and_none_takes_long(tmp_path: Path) -> None:
    rig, fuzz = Rig(tmp_path).start(), Fuzz()
    slowest_ns = executed = 0
    for number in range(PACKETS):
        packet = fuzz.osc() if number % 4 else fuzz.json()
        handle = rig.dispatcher.handle_osc if number % 4 else rig.dispatcher.handle_json
        start_ns = time.thread_time_ns()
        handle(packet, rig.client(number % 50))
        slowest_ns = max(slowest_ns, time.thread_time_ns() - start_ns)
        if number % 500 == 0:
            executed += len(rig.engine) + len(rig.playout)
            rig.apply()
            rig.apply_playout()
            rig.advance(0.01)
            rig.forget()
    counters = rig.dispatcher.counters
    assert slowest_ns < MAX_HANDLING_NS, f"seed {fuzz.seed}"
    assert counters["handler_errors_total"] == 0, f"seed {fuzz.seed}"
    # It must be neither all garbage nor all fine.
    assert counters["malformed_total"] > PACKETS / 10
    assert executed > PACKETS / 1000
    assert rig.send("/mgrt/version", client=rig.client(60_000))[0][0] == "/mgrt/version.reply"


def test_f16_streams_of_anything_end_in_packets_or_an_error() -> None:
    fuzz = Fuzz()
    outcomes = {"packets": 0, "errors": 0}
    for _ in range(2000):
        stream = b"".join(struct.pack(">I", len(one)) + one for one in (fuzz.osc(), fuzz.osc()))
        damaged = bytearray(stream)
        fuzz._damage(damaged)
        for data in (bytes(damaged), b"\xc0" + bytes(damaged)):
            try:
                outcomes["packets"] += len(list(framing_for(data[0]).feed(data)))
            except FramingError:
                outcomes["errors"] += 1
    assert min(outcomes.values()) > 100, f"seed {fuzz.seed}"


def _over_udp(live: LiveServers, fuzz: Fuzz) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _ in range(SOCKET_PACKETS):
            sock.sendto(fuzz.osc(), ("127.0.0.1", live.ports.osc))


def _over_tcp(live: LiveServers, fuzz: Fuzz) -> None:
    for _ in range(SOCKET_PACKETS // 100):
        with socket.create_connection(("127.0.0.1", live.ports.osc)) as sock:
            try:
                for _ in range(100):
                    packet = fuzz.osc()
                    sock.sendall(struct.pack(">I", len(packet)) + packet)
                sock.sendall(fuzz.osc())
            except ConnectionError:
                continue  # it was thrown out, as it should be


def _over_zeromq(live: LiveServers, fuzz: Fuzz) -> None:
    with zmq.Context() as context, context.socket(zmq.DEALER) as sock:
        sock.setsockopt(zmq.LINGER, 0)
        sock.setsockopt(zmq.SNDTIMEO, round(PATIENCE_SECONDS * 1000))
        sock.connect(f"tcp://127.0.0.1:{live.ports.command}")
        for number in range(SOCKET_PACKETS):
            parts = [fuzz.json()] if number % 3 else [b"", fuzz.json()]
            sock.send_multipart(parts if number % 10 else [b"a", b"b", fuzz.json()])
        # Whatever was sent before it has arrived before it.
        sock.send(b'["/mgrt/sync", 77]')
        sock.setsockopt(zmq.RCVTIMEO, round(PATIENCE_SECONDS * 1000))
        while json.loads(sock.recv_multipart()[-1]) != ["/mgrt/synced", 77]:
            pass


@pytest.mark.parametrize("attack", [_over_udp, _over_tcp, _over_zeromq])
def test_f16_over_real_sockets(tmp_path: Path, attack: Callable[[LiveServers, Fuzz], None]) -> None:
    fuzz = Fuzz()
    with LiveServers(tmp_path) as live:
        attack(live, fuzz)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(PATIENCE_SECONDS)
            sock.sendto(osc("/mgrt/version"), ("127.0.0.1", live.ports.osc))
            assert sock.recv(4096).startswith(b"/mgrt/version.reply"), f"seed {fuzz.seed}"
        assert live.metric("malformed_total") > 0
        assert live.metric("handler_errors_total") == 0, f"seed {fuzz.seed}"


def test_f16_malformed_packets_are_not_answered_and_rarely_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "mgrt.osc")
    rig = Rig(tmp_path)
    for packet in (
        b"#bundle\0" + struct.pack(">Qi", 1, -4) + bytes(4),
        b"abc",
        b"/a\0\0,s\0\0\xff",
    ):
        for _ in range(1000):
            assert rig.send_packet(packet) == []
    assert rig.dispatcher.counters["malformed_total"] == 3000
    assert 1 <= len(caplog.records) <= 50


def test_f17_a_handler_that_raises_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "mgrt.osc")
    rig = Rig(tmp_path)

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr(session, "HANDLERS", {**HANDLERS, "status": broken})
    (reply,) = rig.send("/mgrt/status")
    assert reply[:2] == ("/fail", "/mgrt/status")
    assert "a fault of the program" in reply[2]
    assert "ZeroDivisionError" in caplog.text, "whoever mends it must find it"
    rig.send_packet(bundle(rig.wall_seconds + 1, osc("/mgrt/status"), osc("/mgrt/version")))
    rig.advance(1.005)
    assert [reply[0] for reply in rig.take()] == ["/fail", "/mgrt/version.reply"]
    assert rig.dispatcher.counters["handler_errors_total"] == 2
    for _ in range(1000):
        rig.send("/mgrt/status")
    assert len(caplog.records) < 100
