"""The daemon as its users have it: real processes, clients of other makes, the null output.

Its engine is a tone here, so that nothing waits for torch; `test_daemon_engine.py` has a real one.
"""

from __future__ import annotations

import json
import select
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from tests.bridge.daemon_rig import (
    ANSWER_SECONDS,
    READY_SECONDS,
    DaemonProcess,
    OscClient,
    free_ports,
    is_alive,
)
from tests.programs import requires_program

TONE = "tests.bridge.tone_daemon"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """One daemon for all tests that leave it playing."""
    folder = tmp_path_factory.mktemp("daemon")
    with DaemonProcess(folder, "--output", "null", module=TONE) as running:
        running.until_playing()
        yield running


def heard(daemon: DaemonProcess, address: str, *args: object) -> None:
    """Send a command that the engine or the playout must have done."""
    answer = daemon.client.ask(address, *args)
    assert answer[0] == "/done", answer


def test_beats_are_told_in_order_and_in_time(daemon: DaemonProcess) -> None:
    client = OscClient(daemon.ports()["osc"])
    client.send("/mgrt/notify", 1)
    beats: list[int] = []
    deadline = time.monotonic() + ANSWER_SECONDS
    # A daemon that gets no processor for more than a beat tells only the present one.
    while len(beats) < 5 or beats[-5:] != list(range(beats[-5], beats[-5] + 5)):
        assert time.monotonic() < deadline, beats
        _, bar, beat, bpm = client.wait(lambda message: message[0] == "/mgrt/beat")
        beats.append((bar - 1) * 4 + beat)
        assert bpm == pytest.approx(120)
    assert beats == sorted(set(beats))
    client.send("/mgrt/notify", 0)
    client.close()


def test_commands_are_done_and_mistakes_are_told(daemon: DaemonProcess) -> None:
    heard(daemon, "/mgrt/prompt/set", 1, "jazz trio", 0.5)
    heard(daemon, "/mgrt/param/set/temperature", 0.9)
    heard(daemon, "/mgrt/attr/set", "drums", "off")
    heard(daemon, "/mgrt/melody/note_on", 60, 100)
    heard(daemon, "/mgrt/melody/note_off", 60)
    assert daemon.client.ask("/mgrt/sync", 7) == ("/mgrt/synced", 7)
    failed = daemon.client.ask("/mgrt/clock/tempo", 5.0)
    assert failed[:2] == ("/fail", "/mgrt/clock/tempo")
    assert "20 to 999" in failed[2]


def test_stop_stands_still_and_play_goes_on(daemon: DaemonProcess) -> None:
    heard(daemon, "/mgrt/transport/stop")
    before = daemon.until_status(lambda s: s["phase"] == "stopped")
    again = daemon.client.status()
    assert (again["bar"], again["beat"]) == (before["bar"], before["beat"])
    heard(daemon, "/mgrt/transport/play")
    daemon.until_playing()
    place = (before["bar"], before["beat"])
    daemon.until_status(lambda s: (s["bar"], s["beat"]) > place)


def test_oscsend_and_oscdump_of_liblo_speak_with_it(daemon: DaemonProcess) -> None:
    oscsend, oscdump = requires_program("oscsend"), requires_program("oscdump")
    port = str(daemon.ports()["osc"])
    reply_port = free_ports()[0]
    with subprocess.Popen(
        [oscdump, "-L", str(reply_port)], stdout=subprocess.PIPE, text=True
    ) as dump:
        assert dump.stdout is not None
        sent = [oscsend, "localhost", port, "/mgrt/prompt/set", "iss", "2", "dub", f"@{reply_port}"]
        deadline = time.monotonic() + ANSWER_SECONDS
        try:
            # What is sent to it before it listens is lost.
            while not select.select([dump.stdout], [], [], 0.1)[0]:
                assert time.monotonic() < deadline
                subprocess.run(sent, check=True)
            line = dump.stdout.readline()
        finally:
            dump.terminate()
    assert "/done" in line
    assert "/mgrt/prompt/set" in line


def test_a_zeromq_client_asks_and_listens(daemon: DaemonProcess) -> None:
    ports = daemon.ports()
    context = zmq.Context()
    events = context.socket(zmq.SUB)
    events.subscribe(b"")
    events.connect(f"tcp://127.0.0.1:{ports['publish']}")
    commands = context.socket(zmq.DEALER)
    commands.connect(f"tcp://127.0.0.1:{ports['command']}")
    try:
        commands.send(json.dumps(["/mgrt/param/set/cfg", 2.5]).encode())
        assert commands.poll(round(ANSWER_SECONDS * 1000))
        answer = json.loads(commands.recv_multipart()[-1])
        assert answer[:2] == ["/done", "/mgrt/param/set/cfg"]
        assert events.poll(round(ANSWER_SECONDS * 1000))
        assert events.recv_multipart()
    finally:
        context.destroy(linger=0)


def test_http_tells_health_and_metrics(daemon: DaemonProcess) -> None:
    base = f"http://127.0.0.1:{daemon.ports()['http']}"
    with urllib.request.urlopen(f"{base}/health", timeout=ANSWER_SECONDS) as answer:
        assert answer.status == 200
    with urllib.request.urlopen(f"{base}/metrics", timeout=ANSWER_SECONDS) as answer:
        assert b"mgrt_underruns_total 0" in answer.read()


def test_midi_commands_reach_the_midi_input(daemon: DaemonProcess) -> None:
    failed = daemon.client.ask("/mgrt/midi/list")
    assert failed[:2] == ("/fail", "/mgrt/midi/list")
    assert "--no-midi" in failed[2]


def test_without_a_sound_card_it_says_so_and_goes_on(tmp_path: Path) -> None:
    # A JACK server that does not exist: no device on any machine.
    env = {"JACK_DEFAULT_SERVER": "mgrt-none", "JACK_NO_START_SERVER": "1"}
    with DaemonProcess(tmp_path, "--output", "jack", env=env, module=TONE) as deviceless:
        deviceless.until_playing()
        assert "no sound" in deviceless.said.read_text()
        assert deviceless.client.ask("/mgrt/prompt/set", 0, "dub")[0] == "/done"


def test_the_scene_of_the_configuration_plays(tmp_path: Path) -> None:
    path = tmp_path / "jam.toml"
    path.write_text(
        '[scene]\nprompt = "drum and bass"\nbpm = 174\nparams = { cfg = 2.5 }\n'
        'commands = [["/mgrt/prompt/set", 1, "jazz", 0.5], ["/mgrt/attr/set", "drums", "off"]]\n'
    )
    with DaemonProcess(tmp_path, "--config", path, "--output", "null", module=TONE) as scene:
        scene.until_playing()
        client = scene.client
        assert client.status()["bpm"] == 174
        assert client.ask("/mgrt/param/get/cfg")[-1] == 2.5
        client.send("/mgrt/refresh")
        client.wait(lambda m: m[0] == "/mgrt/state/prompt" and m[1:3] == (1, "jazz"))
        client.wait(lambda m: m == ("/mgrt/state/attr", "drums", "off"))


def test_quit_ends_all_of_it(tmp_path: Path) -> None:
    with DaemonProcess(tmp_path, "--output", "null", module=TONE) as ending:
        ending.until_playing()
        pids = ending.pids()
        assert set(pids) == {"engine", "playout"}
        ending.client.send("/mgrt/quit")
        assert ending.process.wait(READY_SECONDS) == 0
        assert not any(is_alive(pid) for pid in pids.values())


def test_a_log_in_a_folder_that_is_not_there_ends_it_with_a_line(tmp_path: Path) -> None:
    args = ("--output", "null", "--json-log", tmp_path / "none" / "log.jsonl")
    with DaemonProcess(tmp_path, *args, module=TONE) as ended:
        assert ended.process.wait(READY_SECONDS) == 69
        assert "No such file" in ended.said.read_text()


def test_a_file_that_cannot_be_written_ends_it_with_a_line(tmp_path: Path) -> None:
    out = tmp_path / "none" / "out.wav"
    with DaemonProcess(tmp_path, "--output", f"wav:{out}", module=TONE) as ended:
        assert ended.process.wait(READY_SECONDS) == 69
        said = ended.said.read_text()
        assert "out.wav" in said
        assert "Traceback" not in said
