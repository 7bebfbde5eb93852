"""OSC over UDP with other people's programs: python-osc as a client, oscsend, oscdump."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder
from pythonosc.udp_client import UDPClient

from bridge.control.control_config import ControlConfig
from bridge.control.servers import ControlServers, ServerError
from tests.bridge.control.live_servers import PATIENCE_SECONDS, LiveServers
from tests.bridge.control.rig import Rig, osc
from tests.programs import requires_program


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServers]:
    with LiveServers(tmp_path_factory.mktemp("live")) as servers:
        yield servers


def receiver(host: str = "127.0.0.1") -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    sock.settimeout(PATIENCE_SECONDS)
    return sock


def ask(live: LiveServers, packet: bytes, host: str = "127.0.0.1") -> OscMessage:
    with receiver(host) as sock:
        sock.sendto(packet, (host, live.ports.osc))
        return OscMessage(sock.recv(65536))


def test_python_osc_as_a_client(live: LiveServers) -> None:
    client = UDPClient("127.0.0.1", live.ports.osc)
    client._sock.settimeout(PATIENCE_SECONDS)
    builder = OscMessageBuilder("/mgrt/prompt/set")
    for value in (2, "dub techno", 0.5):
        builder.add_arg(value)
    client.send(builder.build())
    reply = OscMessage(client.receive(PATIENCE_SECONDS))
    assert (reply.address, reply.params[0]) == ("/done", "/mgrt/prompt/set")
    assert live.commands[-1]["args"] == [2, "dub techno", 0.5, 0]


def test_oscsend_is_answered_on_the_port_that_it_names(live: LiveServers) -> None:
    program = requires_program("oscsend")
    with receiver() as sock:
        port = sock.getsockname()[1]
        arguments = ["/mgrt/prompt/weight", "ifs", "0", "0.25", f"@{port}"]
        subprocess.run([program, "localhost", str(live.ports.osc), *arguments], check=True)
        reply = OscMessage(sock.recv(65536))
    assert (reply.address, reply.params[0]) == ("/done", "/mgrt/prompt/weight")
    assert live.commands[-1]["args"] == [0, 0.25, 0]


def test_oscdump_hears_the_state_and_its_changes(live: LiveServers) -> None:
    program = requires_program("oscdump")
    with receiver() as free:
        port = free.getsockname()[1]
    dump = subprocess.Popen([program, "-L", str(port)], stdout=subprocess.PIPE)
    assert dump.stdout is not None
    heard = b""
    try:
        with receiver() as sock:
            # What is sent to it before it listens is lost.
            while not select.select([dump.stdout], [], [], 0.05)[0]:
                sock.sendto(osc("/mgrt/version", f"@{port}"), ("127.0.0.1", live.ports.osc))
            ask(live, osc("/mgrt/notify", 1, "localhost", port))
            ask(live, osc("/mgrt/clock/tempo", 93.0))
            while b'/mgrt/state/clock sfiiif "internal" 93.0' not in heard:
                assert select.select([dump.stdout], [], [], PATIENCE_SECONDS)[0], heard
                heard += os.read(dump.stdout.fileno(), 65536)
    finally:
        dump.kill()
        dump.wait()
        dump.stdout.close()
    assert b"/mgrt/state/prompt isf 0" in heard


@pytest.mark.skipif(not socket.has_ipv6, reason="this Python has no IPv6")
def test_localhost_may_be_ipv6(live: LiveServers) -> None:
    try:
        reply = ask(live, osc("/mgrt/version"), "::1")
    except OSError as error:
        pytest.skip(f"this machine has no ::1: {error}")
    assert reply.address == "/mgrt/version.reply"
    assert reply.params[0] == "musicgen-rt"


def test_an_unknown_address_is_answered(live: LiveServers) -> None:
    reply = ask(live, osc("/mgrt/promt/set", 0, "x"))
    assert reply.address == "/fail"
    assert reply.params[0] == "/mgrt/promt/set"
    assert "did you mean /mgrt/prompt/set?" in reply.params[1]


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with receiver() as taken:
        port = taken.getsockname()[1]
        config = ControlConfig(osc_port=port, command_port=0, publish_port=0, http_port=0)
        rig = Rig(tmp_path)
        servers = ControlServers(rig.dispatcher, config)
        with pytest.raises(ServerError, match=f"OSC over UDP: port {port} of 127.0.0.1"):
            asyncio.run(servers.start())


def test_nobody_can_take_the_port_beside_us(live: LiveServers) -> None:
    thief = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with thief, pytest.raises(OSError, match="in use"):
        thief.bind(("127.0.0.1", live.ports.osc))
