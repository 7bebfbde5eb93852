"""F16: whatever bytes arrive, the worst is a number in /metrics. F17: nor does a fault of ours."""

from __future__ import annotations

import logging
import os
import random
import struct
import time
from pathlib import Path

import pytest

from bridge.control import session
from bridge.control.framing import FramingError, framing_for
from bridge.control.handlers import HANDLERS
from bridge.protocol import COMMANDS
from musicgen_rt.evaluate.stage_fuzz import Fuzz
from musicgen_rt.evaluate.stage_siege import TRANSPORTS, Ports, sending, storm
from tests.bridge.control.live_servers import LiveServers
from tests.bridge.control.rig import Rig, bundle, osc

PACKETS = 100_000
SOCKET_PACKETS = 2_000
MAX_HANDLING_NS = 50_000_000

ADDRESSES = [entry.address for entry in COMMANDS]


def new_fuzz() -> Fuzz:
    """Another one each time; MUSICGEN_RT_FUZZ_SEED makes the same again."""
    seed = int(os.environ.get("MUSICGEN_RT_FUZZ_SEED") or random.randrange(2**32))
    print(f"MUSICGEN_RT_FUZZ_SEED={seed}")
    return Fuzz(ADDRESSES, seed)


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


def test_f16_a_hundred_thousand_packets_and_none_takes_long(tmp_path: Path) -> None:
    rig, fuzz = Rig(tmp_path).start(), new_fuzz()
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
    fuzz = new_fuzz()
    outcomes = {"packets": 0, "errors": 0}
    for _ in range(2000):
        stream = b"".join(struct.pack(">I", len(one)) + one for one in (fuzz.osc(), fuzz.osc()))
        damaged = bytearray(stream)
        fuzz.damage(damaged)
        for data in (bytes(damaged), b"\xc0" + bytes(damaged)):
            try:
                outcomes["packets"] += len(list(framing_for(data[0]).feed(data)))
            except FramingError:
                outcomes["errors"] += 1
    assert min(outcomes.values()) > 100, f"seed {fuzz.seed}"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_f16_over_real_sockets(tmp_path: Path, transport: str) -> None:
    fuzz = new_fuzz()
    with LiveServers(tmp_path) as live:
        ports = Ports(live.ports.osc, live.ports.command, live.ports.http)
        with sending(transport, ports) as sender:
            storm(sender, fuzz, SOCKET_PACKETS)
        with sending("udp", ports) as honest:
            honest.sync(7)
        assert live.metric("malformed_total") > 0
        assert live.metric("handler_errors_total") == 0, f"seed {fuzz.seed}"
        busy_seconds = live.metric("loop_busy_max_seconds")
        assert busy_seconds < MAX_HANDLING_NS / 1e9, f"seed {fuzz.seed}"


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
