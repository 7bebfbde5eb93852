"""musicgen-rt send, listen and protocol, against servers on real sockets."""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.commands import listen, protocol, send
from bridge.protocol_markdown import protocol_markdown
from bridge.refusal import Refusal
from tests.bridge.control.live_servers import LiveServers


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServers]:
    with LiveServers(tmp_path_factory.mktemp("live")) as servers:
        yield servers


def parsed(module: object, *words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)  # type: ignore[attr-defined]
    return parser.parse_args(words)


def sent(live: LiveServers, *words: str) -> int:
    return send.run(parsed(send, "--port", str(live.ports.osc), "--timeout", "20", *words))


def test_a_command_and_its_answer(live: LiveServers, capsys: pytest.CaptureFixture[str]) -> None:
    assert sent(live, "/mgrt/prompt/set", "0", "dub", "techno", "0.5") == 0
    assert capsys.readouterr().out == "/done /mgrt/prompt/set 0.44 1\n"
    assert live.commands[-1]["args"] == [0, "dub techno", 0.5, 0]


def test_a_refusal_is_1(live: LiveServers, capsys: pytest.CaptureFixture[str]) -> None:
    assert sent(live, "/mgrt/prompt/set", "8", "x") == 1
    shown = capsys.readouterr()
    assert shown.err.startswith("musicgen-rt: /mgrt/prompt/set: slot is 8: expected a whole number")
    assert shown.out == ""
    assert sent(live, "/mgrt/promt/set", "0", "x") == 1
    assert "did you mean /mgrt/prompt/set?" in capsys.readouterr().err


def test_answers_of_more_than_one_message(
    live: LiveServers, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sent(live, "/mgrt/param/get/{cfg,seed}") == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert sent(live, "/mgrt/sync", "7") == 0
    assert capsys.readouterr().out == "/mgrt/synced 7\n"
    assert sent(live, "/mgrt/refresh") == 0
    assert "/mgrt/state/transport 1\n" in capsys.readouterr().out


def test_nobody_listens(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = ["--port", str(port), "/mgrt/status"]
    assert send.run(parsed(send, *arguments)) == 69
    assert "start the daemon with `musicgen-rt jam`" in capsys.readouterr().err
    assert listen.run(parsed(listen, "--port", str(port))) == 69


def test_nobody_answers(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind(("127.0.0.1", 0))
        port = str(mute.getsockname()[1])
        assert send.run(parsed(send, "--port", port, "--timeout", "0.05", "/mgrt/status")) == 69
    assert "no answer from 127.0.0.1:" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [["mgrt/status"], ["--timeout", "0", "/mgrt/status"], ["--port", "0", "/mgrt/status"]],
)
def test_a_wrong_command_line_is_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert send.run(parsed(send, *words)) == 2
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("address", "words", "values"),
    [
        ("/mgrt/prompt/set", ["0", "1984", "0.5"], [0, "1984", 0.5]),
        ("/mgrt/attr/set", ["drums", "off", "4"], ["drums", "off", 4]),
        ("/mgrt/param/set/cfg", ["3"], [3]),
        ("/mgrt/audio/record", ["1", "007"], [1, "007"]),
        ("/mgrt/unknown", ["1", "x", "-2.5", "1e3"], [1, "x", -2.5, 1000.0]),
    ],
)
def test_words_become_what_the_table_wants(
    address: str, words: list[str], values: list[object]
) -> None:
    assert send.typed_values(address, words) == values
    with pytest.raises(Refusal):
        send.typed_values("prompt/set", words)


def test_a_token_is_shown_to_be_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text("correct horse battery\n")
    wrong.write_text("a guess of the token\n")
    with LiveServers(tmp_path, token="correct horse battery") as guarded:
        assert sent(guarded, "--token-file", str(right), "/mgrt/version") == 0
        assert sent(guarded, "--token-file", str(wrong), "/mgrt/version") == 69
        assert "does not let us in" in capsys.readouterr().err
        assert sent(guarded, "--token-file", str(tmp_path / "none"), "/mgrt/version") == 2


def start_listening(live: LiveServers, *words: str) -> subprocess.Popen[str]:
    # A suite that was started in the background ignores SIGINT, and a child would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    code = (
        "import argparse, sys; from bridge.commands import listen; "
        "parser = argparse.ArgumentParser(); listen.add_arguments(parser); "
        "sys.exit(listen.run(parser.parse_args()))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, "--port", str(live.ports.osc), *words],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_listening_shows_state_and_then_events(live: LiveServers) -> None:
    listening = start_listening(live)
    assert listening.stdout is not None
    lines = iter(listening.stdout.readline, "")
    assert next(lines).startswith("/mgrt/state/prompt 0 ")
    live.wait_until(lambda: len(live.dispatcher.subscribers) == 1)
    live.call(lambda: live.dispatcher.announce("/mgrt/beat", 3, 1, 120.5))
    assert "/mgrt/beat 3 1 120.5\n" in lines
    listening.send_signal(signal.SIGINT)
    listening.wait()
    listening.stdout.close()
    # It has given its lease back.
    live.wait_until(lambda: not live.dispatcher.subscribers)


def test_listening_to_a_few_things_for_a_while(live: LiveServers) -> None:
    listening = start_listening(live, "/mgrt/state/{clock,bank}", "--json", "--count", "2")
    out, _ = listening.communicate()
    assert listening.returncode == 0
    assert [json.loads(line)[0] for line in out.splitlines()] == [
        "/mgrt/state/clock",
        "/mgrt/state/bank",
    ]


def test_the_protocol_is_printed_and_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert protocol.run(parsed(protocol)) == 0
    text = capsys.readouterr().out
    assert text == protocol_markdown()
    page = tmp_path / "protocol.md"
    assert protocol.run(parsed(protocol, "--check", str(page))) == 69
    page.write_text(text)
    assert protocol.run(parsed(protocol, "--check", str(page))) == 0
    page.write_text(text + "by hand")
    assert protocol.run(parsed(protocol, "--check", str(page))) == 1
    assert "is not up to date" in capsys.readouterr().err
