"""F22-F25: peers that send without end, slowly, or too much, that do not read, or are not there."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import zmq

from bridge.control.osc_decode import MAX_PACKET_BYTES
from tests.bridge.control.live_servers import PATIENCE_SECONDS, LiveServers
from tests.bridge.control.rig import Rig, osc
from tests.support.collector import collector_off

MIB = 1 << 20
STATUS = Path("/proc/self/status")
needs_proc = pytest.mark.skipif(not STATUS.exists(), reason="resident memory is read from /proc")


def resident_bytes() -> int:
    """What is held of memory. Without files: of the libraries' pages some come and go any time."""
    (line,) = (one for one in STATUS.read_text().splitlines() if one.startswith("RssAnon:"))
    return int(line.split()[1]) * 1024


def connect(live: LiveServers) -> socket.socket:
    return socket.create_connection(("127.0.0.1", live.ports.osc), timeout=PATIENCE_SECONDS)


def is_cut(sock: socket.socket) -> bool:
    try:
        return sock.recv(1) == b""
    except ConnectionError:
        return True


@pytest.mark.parametrize("head", [b"\xff\xff\xff\xff", b"\0\x01\0\x01", b"\0\0\0\0", b"GET / HTTP"])
def test_f22_an_impossible_length_ends_the_connection(tmp_path: Path, head: bytes) -> None:
    with LiveServers(tmp_path) as live, connect(live) as sock:
        sock.sendall(head)
        assert is_cut(sock)
        assert live.metric("malformed_total") == 1


def test_f22_slip_without_an_end_is_capped(tmp_path: Path) -> None:
    with LiveServers(tmp_path) as live, connect(live) as sock:
        sock.settimeout(None)
        with pytest.raises(ConnectionError):
            sock.sendall(b"/" * 1000 * MAX_PACKET_BYTES)
        assert live.metric("malformed_total") == 1


def test_f22_a_packet_that_trickles_in_has_a_deadline(tmp_path: Path) -> None:
    with LiveServers(tmp_path, tcp_read_deadline_seconds=0.05) as live, connect(live) as sock:
        sock.settimeout(0.005)
        start = time.monotonic()
        sent = struct.pack(">I", 40_000)
        try:
            # Always a little more, never all of it.
            while time.monotonic() - start < PATIENCE_SECONDS:
                sock.sendall(sent)
                sent = b"\0"
                try:
                    if sock.recv(1) == b"":
                        break
                except TimeoutError:
                    continue
        except ConnectionError:
            pass
        assert time.monotonic() - start < PATIENCE_SECONDS


def test_f22_a_quiet_connection_may_stay(tmp_path: Path) -> None:
    with LiveServers(tmp_path, tcp_read_deadline_seconds=0.01) as live, connect(live) as sock:
        packet = osc("/mgrt/version")
        for _ in range(3):
            sock.sendall(struct.pack(">I", len(packet)) + packet)
            assert sock.recv(4096)
            # Ten deadlines of silence, on the servers' own clock.
            end = live.call(live._loop.time) + 0.1
            live.wait_until(partial(lambda end: live._loop.time() > end, end))


HUGE = """
import sys, zmq
context = zmq.Context()
sock = context.socket(zmq.DEALER)
monitor = sock.get_monitor_socket(zmq.EVENT_DISCONNECTED)
sock.connect("tcp://127.0.0.1:" + sys.argv[1])
sock.send(b"x" * 100_000_000)
print("cut" if monitor.poll(60_000) else "taken")
context.destroy(linger=0)
"""


@needs_proc
def test_f23_a_frame_of_100_mb_is_refused(tmp_path: Path) -> None:
    with LiveServers(tmp_path) as live, zmq.Context() as context:
        context.setsockopt(zmq.LINGER, 0)
        before = resident_bytes()
        command = [sys.executable, "-c", HUGE, str(live.ports.command)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout == "cut\n"
        assert resident_bytes() - before < 20 * MIB
        with context.socket(zmq.REQ) as honest:
            honest.setsockopt(zmq.RCVTIMEO, round(PATIENCE_SECONDS * 1000))
            honest.connect(f"tcp://127.0.0.1:{live.ports.command}")
            honest.send(b'["/mgrt/version"]')
            assert json.loads(honest.recv())[0] == "/mgrt/version.reply"


@needs_proc
def test_f24_a_slow_listener_sees_a_gap_and_costs_little(tmp_path: Path) -> None:
    with LiveServers(tmp_path) as live, zmq.Context() as context:
        context.setsockopt(zmq.LINGER, 0)
        with context.socket(zmq.SUB) as slow:
            slow.setsockopt(zmq.RCVHWM, 1)
            slow.setsockopt(zmq.RCVBUF, 4096)
            slow.setsockopt(zmq.RCVTIMEO, round(PATIENCE_SECONDS * 1000))
            slow.subscribe(b"pcm")
            slow.connect(f"tcp://127.0.0.1:{live.ports.publish}")
            live.wait_until(lambda: live.session.is_pcm_wanted)
            before = resident_bytes()
            frames, block = 10_000, b"\0" * 8192
            header = {"type": "pcm", "sample": 0.0, "rate_hz": 48000, "channels": 2}

            def play() -> None:
                for number in range(frames):
                    live.dispatcher.from_playout({**header, "seq": number}, block)

            live.call(play)  # 80 MB
            assert resident_bytes() - before < 30 * MIB
            got = [json.loads(slow.recv_multipart()[1])["sequence"] for _ in range(50)]
            assert got[0] == 0
            # What comes next was sent after a gap, and says so.
            while (number := json.loads(slow.recv_multipart()[1])["sequence"]) == got[-1] + 1:
                got.append(number)
                message = {**header, "seq": frames + len(got)}
                live.call(partial(live.dispatcher.from_playout, message, block))
            assert number > got[-1] + 1


def test_f25_without_a_peer_nothing_blocks(tmp_path: Path) -> None:
    with LiveServers(tmp_path) as live:
        gone = []
        for _ in range(3):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.settimeout(PATIENCE_SECONDS)
                sock.sendto(osc("/mgrt/notify", 1), ("127.0.0.1", live.ports.osc))
                assert sock.recv(4096)
                gone.append(sock.getsockname()[1])
        with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
            dealer.setsockopt(zmq.LINGER, 0)
            dealer.setsockopt(zmq.RCVTIMEO, round(PATIENCE_SECONDS * 1000))
            dealer.connect(f"tcp://127.0.0.1:{live.ports.command}")
            dealer.send(b'["/mgrt/notify", 1]')
            assert dealer.recv()
        assert live.call(lambda: len(live.dispatcher.subscribers)) == 4

        def tell() -> float:
            slowest = 0.0
            for number in range(3000):
                start = time.thread_time()
                live.dispatcher.announce("/mgrt/underrun", number)
                slowest = max(slowest, time.thread_time() - start)
            return slowest

        start = time.monotonic()
        with collector_off():
            assert live.call(tell) < 0.05
        # Had one send of the twelve thousand waited for somebody, it would wait still.
        assert time.monotonic() - start < PATIENCE_SECONDS


def test_f25_a_rig_without_any_server_plays_on(tmp_path: Path) -> None:
    rig = Rig(tmp_path).start()
    rig.dispatcher.delivery.publisher = None
    rig.advance(1)
    rig.dispatcher.announce("/mgrt/underrun", 1)
