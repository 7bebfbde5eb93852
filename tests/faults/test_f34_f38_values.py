"""F34: impossible tempi. F38: impossible prompts. Both are refused with the range."""

from __future__ import annotations

import json
import math
import socket
import struct
from pathlib import Path

import pytest
import zmq

from bridge.table.terms import MAX_PROMPT_CHARS
from tests.bridge.control.live_servers import PATIENCE_SECONDS, LiveServers
from tests.bridge.control.rig import Rig, osc


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path, prompts=(("deep house", 1.0),)).start()


@pytest.mark.parametrize("bpm", [0, -1, 19.9, 999.5, 1e9, math.nan, math.inf, -math.inf])
def test_f34_an_impossible_tempo_is_refused_and_the_last_kept(rig: Rig, bpm: float) -> None:
    rig.send("/mgrt/clock/tempo", 93.0)
    rig.forget()
    (reply,) = rig.send("/mgrt/clock/tempo", float(bpm))
    assert reply[:2] == ("/fail", "/mgrt/clock/tempo")
    assert "20 to 999" in reply[2]
    assert rig.engine == rig.playout == []
    assert rig.session.timeline.segments[-1].bpm == 93.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["text is ''", f"1 to {MAX_PROMPT_CHARS}"]),
        ("   ", [f"1 to {MAX_PROMPT_CHARS}"]),
        ("x" * (MAX_PROMPT_CHARS + 1), [f"has {MAX_PROMPT_CHARS + 1} characters", "2000"]),
        ("deep\nhouse", ["control character U+000A at position 4"]),
        ("deep\x1b[31m", ["U+001B"]),
        ("deep\x7f", ["U+007F"]),
    ],
)
def test_f38_an_impossible_prompt_is_refused_with_the_limit(
    rig: Rig, text: str, words: list[str]
) -> None:
    for address, args in (("/mgrt/prompt/set", (0, text)), ("/mgrt/prompt/negative", (text,))):
        (reply,) = rig.send(address, *args)
        assert reply[:2] == ("/fail", address)
        for word in words:
            assert word in reply[2]
        assert len(reply[2]) < 200
        assert reply[2].isprintable()
    assert rig.commands() == []
    assert rig.session.state["prompt/0"] == "deep house"


def test_f38_the_longest_prompt_is_taken(rig: Rig) -> None:
    assert rig.send("/mgrt/prompt/set", 0, "é" * MAX_PROMPT_CHARS) == []
    assert len(rig.commands()) == 1


def test_f38_a_prompt_of_a_megabyte_does_not_even_arrive(tmp_path: Path) -> None:
    text = "x" * 1_000_000
    with LiveServers(tmp_path) as live, zmq.Context() as context:
        with socket.create_connection(("127.0.0.1", live.ports.osc)) as sock:
            packet = osc("/mgrt/prompt/set", 0, text)
            try:
                sock.sendall(struct.pack(">I", len(packet)) + packet)
                assert sock.recv(1) == b""
            except ConnectionError:
                pass
        with context.socket(zmq.DEALER) as dealer:
            dealer.setsockopt(zmq.LINGER, 0)
            monitor = dealer.get_monitor_socket(zmq.EVENT_DISCONNECTED)
            dealer.connect(f"tcp://127.0.0.1:{live.ports.command}")
            dealer.send_string(json.dumps(["/mgrt/prompt/set", 0, text]))
            assert monitor.poll(round(PATIENCE_SECONDS * 1000)), "it was not cut off"
            dealer.disable_monitor()
        assert live.commands == []
        assert live.metric("malformed_total") == 1
