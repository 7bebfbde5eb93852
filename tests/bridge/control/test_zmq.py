"""ZeroMQ with pyzmq clients: REQ, DEALER, SUB, and CURVE."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import zmq
import zmq.auth

from bridge.control.control_config import ControlConfig
from bridge.control.curve import CurveKeys
from bridge.refusal import Refusal
from tests.bridge.control.live_servers import PATIENCE_SECONDS, LiveServers

PATIENCE_MS = round(PATIENCE_SECONDS * 1000)
REFUSED = (
    zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_CONNECT_RETRIED
)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServers]:
    with LiveServers(tmp_path_factory.mktemp("live")) as servers:
        yield servers


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    with zmq.Context() as made:
        made.setsockopt(zmq.LINGER, 0)
        made.setsockopt(zmq.RCVTIMEO, PATIENCE_MS)
        yield made


def connect(context: zmq.Context[zmq.Socket[bytes]], kind: int, port: int) -> zmq.Socket[bytes]:
    socket = context.socket(kind)
    socket.connect(f"tcp://127.0.0.1:{port}")
    return socket


def subscriber(
    live: LiveServers, context: zmq.Context[zmq.Socket[bytes]], topic: bytes
) -> zmq.Socket[bytes]:
    """A SUB socket whose subscription has arrived."""
    socket = connect(context, zmq.SUB, live.ports.publish)
    socket.subscribe(topic)
    socket.subscribe(b"/mgrt/suggestion/bpm")
    socket.setsockopt(zmq.RCVTIMEO, 20)
    for _ in range(500):
        live.call(lambda: live.dispatcher.announce("/mgrt/suggestion/bpm", 99.0))
        try:
            assert socket.recv_multipart()[0] == b"/mgrt/suggestion/bpm"
            break
        except zmq.Again:
            continue
    socket.setsockopt(zmq.RCVTIMEO, PATIENCE_MS)
    # On a busy machine one more than was waited for may be on its way.
    live.call(lambda: live.dispatcher.announce("/mgrt/suggestion/bpm", 77.0))
    while json.loads(socket.recv_multipart()[-1]) != ["/mgrt/suggestion/bpm", 77.0]:
        pass
    socket.unsubscribe(b"/mgrt/suggestion/bpm")
    return socket


def test_a_req_socket_gets_one_answer_for_each_request(
    live: LiveServers, context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    socket = connect(context, zmq.REQ, live.ports.command)
    for request, address in (
        (["/mgrt/prompt/set", 0, "Grüße aus Köln", 0.75], "/done"),
        (["/mgrt/refresh"], "/done"),
        (["/mgrt/status"], "/mgrt/status.reply"),
        (["/mgrt/param/listen/cfg", True], "/done"),
        (["/mgrt/param/set/cfg", "x"], "/fail"),
        (["/mgrt/param/get/cfg"], "/mgrt/param/get/cfg.reply"),
        (["/mgrt/notify", 1], "/fail"),
        (["/mgrt/sync", 3], "/mgrt/synced"),
    ):
        socket.send_string(json.dumps(request))
        reply = json.loads(socket.recv())
        assert reply[0] == address, reply
    assert live.commands[-1]["args"] == [0, "Grüße aus Köln", 0.75, 0]


def test_what_is_no_command_is_answered(
    live: LiveServers, context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    socket = connect(context, zmq.REQ, live.ports.command)
    for data in (b"hello", b"[", b"[" * 60_000, b"\xff", b'{"address": 1}', b'["/mgrt/nothing"]'):
        socket.send(data)
        reply = json.loads(socket.recv())
        assert reply[0] == "/fail"
        assert len(reply[2]) < 300


def test_a_dealer_may_subscribe(live: LiveServers, context: zmq.Context[zmq.Socket[bytes]]) -> None:
    socket = connect(context, zmq.DEALER, live.ports.command)
    socket.send(b'["/mgrt/notify", 1]')
    done = json.loads(socket.recv())
    assert done[:2] == ["/done", "/mgrt/notify"]
    assert json.loads(socket.recv())[0] == "/mgrt/state/prompt"
    socket.send(b'["/mgrt/notify", 0]')
    while json.loads(socket.recv())[:2] != ["/done", "/mgrt/notify"]:
        pass


def test_events_are_published_with_their_sequence(
    live: LiveServers, context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    socket = subscriber(live, context, b"/mgrt/error")
    for number in range(3):
        live.call(partial(live.dispatcher.announce, "/mgrt/error", "test", f"{number}"))
    got = [socket.recv_multipart() for _ in range(3)]
    assert [json.loads(payload) for _, _, payload in got] == [
        ["/mgrt/error", "test", str(number)] for number in range(3)
    ]
    sequences = [json.loads(header)["sequence"] for _, header, _ in got]
    assert sequences == list(range(sequences[0], sequences[0] + 3))


def test_pcm_is_asked_for_while_somebody_listens(
    live: LiveServers, context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    assert not live.session.is_pcm_wanted
    socket = subscriber(live, context, b"pcm")
    live.wait_until(lambda: live.session.is_pcm_wanted)
    header = {"type": "pcm", "seq": 7, "sample": 6400.0, "rate_hz": 48000, "channels": 2}
    live.call(lambda: live.dispatcher.from_playout(header, b"\x01" * 16))
    topic, sent, payload = socket.recv_multipart()
    assert (topic, payload) == (b"pcm", b"\x01" * 16)
    assert json.loads(sent) == {
        "sample": 6400.0,
        "rate_hz": 48000,
        "channels": 2,
        "sequence": 7,
        "beat": pytest.approx(0.4),
        "bpm": pytest.approx(120.0),
    }
    socket.close()
    live.wait_until(lambda: not live.session.is_pcm_wanted)


def keys(folder: Path, name: str) -> tuple[Path, Path]:
    """The public and the secret certificate of somebody."""
    folder.mkdir(exist_ok=True)
    public, secret = zmq.auth.create_certificates(folder, name)
    return Path(public), Path(secret)


def curved(
    context: zmq.Context[zmq.Socket[bytes]], secret: Path, server: Path
) -> zmq.Socket[bytes]:
    """Not connected yet."""
    socket = context.socket(zmq.REQ)
    socket.curve_publickey, own = zmq.auth.load_certificate(secret)
    assert own is not None
    socket.curve_secretkey = own
    socket.curve_serverkey, _ = zmq.auth.load_certificate(server)
    return socket


def test_curve_lets_in_who_is_on_the_list(
    tmp_path: Path, context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    server_public, server_secret = keys(tmp_path / "server", "server")
    ann_public, ann_secret = keys(tmp_path / "ann", "ann")
    _, ben_secret = keys(tmp_path / "ben", "ben")
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    (allowed / "ann.key").write_bytes(ann_public.read_bytes())
    config: dict[str, Any] = {
        "curve_secret_key_file": server_secret,
        "curve_client_keys_folder": allowed,
    }
    with LiveServers(tmp_path, **config) as live:
        address = f"tcp://127.0.0.1:{live.ports.command}"
        ann = curved(context, ann_secret, server_public)
        ann.connect(address)
        ann.send(b'["/mgrt/version"]')
        assert json.loads(ann.recv())[0] == "/mgrt/version.reply"
        before = live.metric("packets_total")
        for socket in (curved(context, ben_secret, server_public), context.socket(zmq.REQ)):
            # Before it connects: some are refused once and never try again.
            monitor = socket.get_monitor_socket(REFUSED)
            socket.connect(address)
            with suppress(zmq.Again):  # it may be refused already
                socket.send(b'["/mgrt/version"]', zmq.NOBLOCK)
            assert monitor.poll(PATIENCE_MS), "it was not refused"
            socket.disable_monitor()
            assert not socket.poll(0)
        assert live.metric("packets_total") == before


def test_keys_that_cannot_be_used(tmp_path: Path) -> None:
    public, secret = keys(tmp_path / "server", "server")
    empty = tmp_path / "empty"
    empty.mkdir()
    for file, folder, reason in (
        (tmp_path / "none", public.parent, "cannot be read"),
        (public, public.parent, "no secret key"),
        (secret, empty, "nobody could connect"),
    ):
        with pytest.raises(Refusal, match=reason):
            CurveKeys(file, folder)


def test_beyond_loopback_needs_all_of_it(tmp_path: Path) -> None:
    token = "a token of some length"
    for config, reason in (
        ({}, "reachable from other machines"),
        ({"is_lan_allowed": True}, "needs a token of at least 16"),
        ({"is_lan_allowed": True, "token": "short"}, "needs a token"),
        ({"is_lan_allowed": True, "token": token}, "needs CURVE"),
    ):
        with pytest.raises(Refusal, match=reason):
            ControlConfig(host="0.0.0.0", **config)
    with pytest.raises(Refusal, match="expected localhost or the address"):
        ControlConfig(host="studio.local")
    ControlConfig(
        host="0.0.0.0",
        is_lan_allowed=True,
        token=token,
        curve_secret_key_file=tmp_path,
        curve_client_keys_folder=tmp_path,
    )
