"""OSC over TCP: both framings, with python-osc's client, and connections that come and go."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest
from pythonosc import slip
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder
from pythonosc.tcp_client import TCPClient

from bridge.control.tcp_server import MAX_UNREAD_BYTES
from tests.bridge.control.live_servers import PATIENCE_SECONDS, LiveServers
from tests.bridge.control.rig import osc


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServers]:
    with LiveServers(tmp_path_factory.mktemp("live"), max_connections=3) as live:
        yield live


@pytest.fixture
def live(servers: LiveServers) -> LiveServers:
    """The servers, when the connections of earlier tests have ended."""
    servers.wait_until(lambda: not servers.servers._tcp.connections)
    return servers


def connect(live: LiveServers) -> socket.socket:
    return socket.create_connection(("127.0.0.1", live.ports.osc), timeout=PATIENCE_SECONDS)


def exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        assert piece, "the connection ended"
        data += piece
    return data


def receive(sock: socket.socket) -> OscMessage:
    (length,) = struct.unpack(">I", exactly(sock, 4))
    return OscMessage(exactly(sock, length))


def ends(sock: socket.socket) -> bool:
    """Whether the other side closes."""
    try:
        return sock.recv(1) == b""
    except ConnectionError:
        return True


def framed(packet: bytes) -> bytes:
    return struct.pack(">I", len(packet)) + packet


@pytest.mark.parametrize("mode", ["1.0", "1.1"])
def test_python_osc_as_a_client(live: LiveServers, mode: str) -> None:
    with TCPClient("127.0.0.1", live.ports.osc, mode=mode) as client:
        builder = OscMessageBuilder("/mgrt/prompt/set")
        for value in (1, f"jazz {mode}"):
            builder.add_arg(value)
        client.send(builder.build())
        (packet,) = client.receive(int(PATIENCE_SECONDS))
    reply = OscMessage(packet)
    assert (reply.address, reply.params[0]) == ("/done", "/mgrt/prompt/set")
    assert live.commands[-1]["args"] == [1, f"jazz {mode}", 1.0, 0]


def test_bytes_may_come_one_by_one(live: LiveServers) -> None:
    with connect(live) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for packet in (osc("/mgrt/version"), osc("/mgrt/sync", 5)):
            for byte in framed(packet):
                sock.send(bytes([byte]))
        assert receive(sock).address == "/mgrt/version.reply"
        assert receive(sock).params == [5]


def test_slip_with_bytes_that_are_escaped(live: LiveServers) -> None:
    with connect(live) as sock:
        # 192 and 219 are SLIP's own bytes.
        sock.sendall(slip.encode(osc("/mgrt/sync", 0xC0DB)))
        data = b""
        while data.count(b"\xc0") < 2:
            data += exactly(sock, 1)
        assert OscMessage(slip.decode(data)).params == [0xC0DB]


def test_a_client_that_closes_its_half_still_gets_its_answer(live: LiveServers) -> None:
    with connect(live) as sock:
        sock.sendall(framed(osc("/mgrt/version")))
        sock.shutdown(socket.SHUT_WR)
        assert receive(sock).address == "/mgrt/version.reply"


def test_a_connection_is_one_client(live: LiveServers) -> None:
    with connect(live) as ann, connect(live) as ben:
        ann.sendall(framed(osc("/mgrt/notify", 1)))
        assert receive(ann).params[0] == "/mgrt/notify"
        while receive(ann).address != "/mgrt/state/attr":
            pass
        assert receive(ann).address == "/mgrt/state/attr"
        ben.sendall(framed(osc("/mgrt/param/set/cfg", 4.5)))
        assert receive(ben).address == "/done"
        while (message := receive(ann)).address != "/mgrt/state/param":
            pass
        assert message.params == ["cfg", 4.5]
    live.wait_until(lambda: not live.dispatcher.subscribers)


def test_what_a_connection_holds_is_let_go_with_it(live: LiveServers) -> None:
    with connect(live) as sock:
        sock.sendall(framed(osc("/mgrt/melody/note_on", 72, 100)))
        assert receive(sock).address == "/done"
    live.wait_until(
        lambda: (live.commands[-1]["name"], live.commands[-1]["args"]) == ("melody/note_off", [72])
    )


def test_connections_have_a_limit(live: LiveServers) -> None:
    held = [connect(live) for _ in range(3)]
    for sock in held:
        sock.sendall(framed(osc("/mgrt/version")))
        receive(sock)
    with connect(live) as fourth:
        assert ends(fourth)
    for sock in held:
        sock.close()
    live.wait_until(lambda: not live.servers._tcp.connections)
    assert live.metric("connections_refused_total") == 1


def test_a_flood_over_one_connection_is_handled_in_full(live: LiveServers) -> None:
    """More than the inbox holds: the stream waits instead of losing anything."""
    before = live.metric("messages_total")
    count = 5000
    with connect(live) as sock:
        message = framed(osc("/mgrt/param/set/temperature", 0.5))
        sock.sendall(message * count + framed(osc("/mgrt/sync", 3)))
        while receive(sock).address != "/mgrt/synced":
            pass
    assert live.metric("messages_total") - before == count + 1
    assert live.metric("overflow_total") == 0


def test_a_client_that_does_not_read_does_not_fill_our_memory(live: LiveServers) -> None:
    with connect(live) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(framed(osc("/mgrt/notify", 1)) + framed(osc("/mgrt/sync", 1)))
        live.wait_until(lambda: len(live.dispatcher.subscribers) == 1)
        (connection,) = live.servers._tcp.connections.values()
        transport = connection._transport
        assert transport is not None

        def flood() -> int:
            for number in range(30_000):
                live.dispatcher.announce("/mgrt/error", "test", f"{number} " + "x" * 1000)
            return transport.get_write_buffer_size()

        assert live.call(flood) <= MAX_UNREAD_BYTES + 1000
    assert live.metric("sends_dropped_total") > 0
