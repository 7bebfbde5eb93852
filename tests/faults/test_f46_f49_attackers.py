"""F46-F49: attackers on the network, wrong tokens, names that are paths, reflected replies."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from bridge.control.access import answer_to
from bridge.control.client import Client
from bridge.control.control_config import ControlConfig
from bridge.control.osc_encode import encode_message
from bridge.control.position import SECOND_NS
from bridge.protocol import COMMANDS
from tests.bridge.control.live_servers import LiveServers
from tests.bridge.control.rig import Rig, osc

TOKEN = "correct horse battery"


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path, prompts=(("deep house", 1.0),)).start()


def own_address() -> str | None:
    """An address of this machine that others can reach, None if it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return None
        return str(sock.getsockname()[0])


def test_f46_no_port_is_reachable_from_elsewhere(tmp_path: Path) -> None:
    with LiveServers(tmp_path) as live:
        ports = live.ports
        for bound in live.servers._udp._sockets.values():
            assert bound.getsockname()[0] in ("127.0.0.1", "::1")
        address = own_address()
        if address is None:
            return
        for port in (ports.osc, ports.command, ports.publish, ports.http):
            with pytest.raises(OSError, match=r"refused|timed out"):
                socket.create_connection((address, port), timeout=1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect((address, ports.osc))
            sock.settimeout(1)
            sock.send(osc("/mgrt/quit"))
            with pytest.raises(ConnectionError):
                sock.recv(100)
        assert not live.quit_asked.is_set()


@pytest.fixture
def guarded(tmp_path: Path) -> Rig:
    control = ControlConfig(
        host="192.168.1.2",
        is_lan_allowed=True,
        token=TOKEN,
        curve_secret_key_file=tmp_path,
        curve_client_keys_folder=tmp_path,
    )
    return Rig(tmp_path, control=control).start()


ATTACKER = Client("udp", "192.168.1.66", 6666)
ANN = Client("udp", "192.168.1.5", 5000)


def challenge(rig: Rig, client: Client) -> str:
    ((address, text),) = rig.send("/mgrt/auth", client=client)
    assert address == "/mgrt/auth.challenge"
    return str(text)


def test_f47_a_wrong_token_is_refused_and_delayed(guarded: Rig) -> None:
    waits = []
    for _ in range(5):
        wrong = answer_to(challenge(guarded, ATTACKER), "a guess of a token")
        (reply,) = guarded.send("/mgrt/auth", wrong, client=ATTACKER)
        assert reply[:2] == ("/fail", "/mgrt/auth")
        waits.append(float(reply[2].split("wait ")[1].split(" s")[0]))
        # Too early: not even the right answer helps.
        right = answer_to(challenge(guarded, ATTACKER), TOKEN)
        (early,) = guarded.send("/mgrt/auth", right, client=ATTACKER)
        assert "too many wrong answers" in early[2]
        guarded.now_ns += round(waits[-1] * SECOND_NS)
    assert waits == [1, 2, 4, 8, 16]
    # Nobody else waits for it.
    answer = answer_to(challenge(guarded, ANN), TOKEN)
    assert guarded.send("/mgrt/auth", answer, client=ANN)[0][0] == "/done"
    assert guarded.send("/mgrt/status")[0][0] == "/mgrt/status.reply"
    assert guarded.dispatcher.counters["auth_failures_total"] == 10


def test_f47_a_recorded_answer_is_worth_nothing(guarded: Rig) -> None:
    answer = answer_to(challenge(guarded, ANN), TOKEN)
    assert guarded.send("/mgrt/auth", answer, client=ANN)[0][0] == "/done"
    for client in (ATTACKER, Client("udp", ANN.host, 5001)):
        assert guarded.send("/mgrt/auth", answer, client=client)[0][0] == "/fail"
        guarded.now_ns += 2 * SECOND_NS
        challenge(guarded, client)
        assert guarded.send("/mgrt/auth", answer, client=client)[0][0] == "/fail"
        assert guarded.send("/mgrt/gen/panic", client=client)[0][0] == "/fail"
        guarded.now_ns += 100 * SECOND_NS
    assert guarded.commands() == []


def test_f47_a_challenge_holds_once_and_not_for_long(guarded: Rig) -> None:
    answer = answer_to(challenge(guarded, ANN), TOKEN)
    guarded.now_ns += 31 * SECOND_NS
    assert guarded.send("/mgrt/auth", answer, client=ANN)[0][0] == "/fail"


NAMES = [
    "../secret.mid",
    "/etc/passwd",
    "a/b.mid",
    "..",
    ".hidden.mid",
    "~root.mid",
    "a\\b.mid",
    "C:evil.mid",
    "a\0b.mid",
    "tune.mid\n",
    "x" * 61 + ".mid",
    "",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("address", "before"),
    [("/mgrt/melody/file", ()), ("/mgrt/gen/continue", ()), ("/mgrt/audio/record", (1,))],
)
def test_f48_a_name_is_never_a_path(
    rig: Rig, address: str, before: tuple[Any, ...], name: str
) -> None:
    entry = next(one for one in COMMANDS if one.address == address)
    # OSC itself would cut the name at the zero.
    got: list[tuple[Any, ...]] = []
    rig.dispatcher.local(entry.address, *before, name, reply=lambda m: got.append(m.args))
    assert got
    assert "expected a name" in str(got[0][1])
    assert rig.commands() == []
    assert rig.playout == []


@pytest.mark.parametrize("kind", ["symlink", "fifo", "folder", "dangling"])
def test_f48_only_regular_files_are_opened(rig: Rig, tmp_path: Path, kind: str) -> None:
    secret = tmp_path / "secret.mid"
    secret.write_bytes(b"MThd")
    for folder, name in (("inputs", "x.mid"), ("banks", "bank-003.safetensors")):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / name
        if kind == "symlink":
            path.symlink_to(secret)
        elif kind == "dangling":
            path.symlink_to(tmp_path / "nothing")
        elif kind == "fifo":
            os.mkfifo(path)
        else:
            path.mkdir()
    for address, argument in (
        ("/mgrt/melody/file", "x.mid"),
        ("/mgrt/gen/continue", "x.mid"),
        ("/mgrt/bank/load", 3),
        ("/mgrt/bank/save", 3),
    ):
        (reply,) = rig.send(address, argument)
        assert reply[:2] == ("/fail", address)
    assert rig.commands() == []


def test_f48_a_recording_replaces_nothing(rig: Rig, tmp_path: Path) -> None:
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    (recordings / "link.wav").symlink_to(tmp_path / "victim")
    (recordings / "take.wav").write_bytes(b"dear")
    for name in ("link.wav", "link", "take.wav"):
        (reply,) = rig.send("/mgrt/audio/record", 1, name)
        assert reply[0] == "/fail"
    (reply,) = rig.send("/mgrt/audio/record", 1, "take.exe")
    assert "expected .wav, .flac" in reply[2]
    assert rig.playout == []


def test_f49_replies_are_small(rig: Rig) -> None:
    """What a forged sender could make us send to a victim, for each byte it sends."""
    for entry in COMMANDS:
        if entry.path in ("refresh", "notify"):
            continue
        for args in ((), (0,), ("x" * 40,)):
            packet = osc(entry.address, *args)
            replies = rig.send_packet(packet)
            size = sum(len(encode_message(one[0], one[1:])) for one in replies)
            assert size <= 10 * len(packet), entry.path
        rig.apply()
        rig.apply_playout()
        rig.forget()
    for packet in (b"", b"abc", b"#bundle\0", os.urandom(400)):
        assert rig.send_packet(packet) == [], "what is malformed is not answered"


def test_f49_events_go_to_nobody_else(rig: Rig) -> None:
    for host in ("192.0.2.7", "8.8.8.8", "example.org", "::ffff:192.0.2.7", "0.0.0.0"):
        (reply,) = rig.send("/mgrt/notify", 1, host, 53)
        assert reply[:2] == ("/fail", "/mgrt/notify")
        assert "is not yours" in reply[2]
    assert len(rig.dispatcher.subscribers) == 0
    rig.send("/mgrt/version", "@53")
    assert list(rig.inboxes.got) == [Client("udp", "127.0.0.1", 53)], "the sender's own host"


def test_f49_all_state_is_not_given_without_end(rig: Rig) -> None:
    sent = sum(len(rig.send("/mgrt/refresh", client=rig.client(port))) for port in range(2000))
    # The first few, each some thirty messages long, and then nothing but refusals.
    assert sent < 2000 + 100 * 30
    assert rig.send("/mgrt/refresh")[0][0] == "/fail"


def test_f49_refusals_and_answers_have_a_rate(rig: Rig) -> None:
    nonsense, version = osc("/mgrt/nonsense"), osc("/mgrt/version")
    refused = sum(len(rig.send_packet(nonsense)) for _ in range(1000))
    answered = sum(len(rig.send_packet(version)) for _ in range(5000))
    assert refused <= 300
    assert answered <= 4000
    assert rig.dispatcher.counters["replies_suppressed_total"] >= 1700
    rig.advance(1)
    assert rig.send("/mgrt/version") != [], "later it is answered again"
