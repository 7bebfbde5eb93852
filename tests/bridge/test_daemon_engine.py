"""The daemon with its real engine over a tiny checkpoint of random weights."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bridge.daemon_rig import END_SECONDS, DaemonProcess, OscClient, free_ports

# Importing torch takes two seconds on an idle machine and a minute on one that trains a model.
pytestmark = pytest.mark.timeout(300)
READY_SECONDS = 200.0
DONE_SECONDS = 40.0


@pytest.fixture(scope="module")
def daemon(
    tmp_path_factory: pytest.TempPathFactory, tiny_frame_conditioned: Path
) -> Iterator[DaemonProcess]:
    """One daemon for all tests that leave it playing; `first_status` is its first answer."""
    folder = tmp_path_factory.mktemp("daemon")
    args = ("--model", tiny_frame_conditioned, "--output", "null", "--threads", "1")
    with DaemonProcess(folder, *args, ports=free_ports()) as running:
        yield running


def done(daemon: DaemonProcess, address: str, *args: object) -> None:
    """Send a command that the engine must have done.

    On a machine that is too slow for real time the engine skips ahead, and what a command needs of
    the past may be missing just then: it is asked again.
    """
    deadline = time.monotonic() + DONE_SECONDS
    while (answer := daemon.client.ask(address, *args, seconds=DONE_SECONDS))[0] != "/done":
        assert time.monotonic() < deadline, answer
        time.sleep(0.5)


def test_status_answers_while_the_weights_load(daemon: DaemonProcess) -> None:
    client = OscClient(daemon.known_ports[0])
    answer = None
    while answer is None and time.monotonic() < daemon.started + 60:
        client.send("/mgrt/status")
        try:
            answer = client.wait(lambda message: True, 0.02)
        except AssertionError:  # nobody listens yet
            assert daemon.process.poll() is None, daemon.said.read_text()
    client.close()
    print(f"first status after {time.monotonic() - daemon.started:.3f} s")
    assert answer is not None
    assert answer[:2] == ("/mgrt/status.reply", "loading")
    # Processor time, which other programs of a busy machine do not lengthen much: a light program's
    # start. The engine's imports alone take several times that.
    used = Path(f"/proc/{daemon.process.pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(used[11]) + int(used[12])
    print(f"{ticks * 10} ms of processor time until then")
    assert ticks < 150


def test_it_plays_and_every_group_of_commands_is_done(daemon: DaemonProcess) -> None:
    daemon.until_playing(READY_SECONDS)
    print(f"first sound after {time.monotonic() - daemon.started:.2f} s")
    done(daemon, "/mgrt/prompt/set", 1, "jazz trio", 0.5, 2.0)
    done(daemon, "/mgrt/param/set/temperature", 0.9)
    done(daemon, "/mgrt/attr/set", "drums", "off")
    done(daemon, "/mgrt/melody/mode", "follow")
    done(daemon, "/mgrt/melody/note_on", 60, 100)
    done(daemon, "/mgrt/melody/note_off", 60)
    done(daemon, "/mgrt/clock/tempo", 140.0)


def test_music_can_be_taken_back_frozen_kept_and_loaded(daemon: DaemonProcess) -> None:
    daemon.until_status(lambda s: s["bar"] >= 3, READY_SECONDS)
    done(daemon, "/mgrt/bank/save", 1)
    done(daemon, "/mgrt/gen/undo", 1)
    done(daemon, "/mgrt/gen/freeze", 1, 1)
    done(daemon, "/mgrt/gen/freeze", 0)
    done(daemon, "/mgrt/bank/load", 1)
    assert daemon.client.status()["phase"] == "playing"


def test_a_killed_engine_goes_on_from_its_snapshot(daemon: DaemonProcess) -> None:
    daemon.until_playing(READY_SECONDS)
    restarts = len(daemon.events("ready"))
    engine = daemon.pids()["engine"]
    place = daemon.client.status()
    daemon.kill_child("engine")
    daemon.until(lambda: len(daemon.events("ready")) > restarts, READY_SECONDS)
    ready = daemon.events("ready")[-1]
    assert ready["is_resumed"]
    assert daemon.pids()["engine"] != engine
    later = daemon.until_status(
        lambda s: not s["is_fallback"] and s["phase"] == "playing", READY_SECONDS
    )
    assert (later["bar"], later["beat"]) >= (place["bar"], place["beat"])
    # What was set before holds after.
    assert later["bpm"] == place["bpm"]


def test_it_ends_in_time_and_in_order(daemon: DaemonProcess) -> None:
    seconds = daemon.stop()
    print(f"ended in {seconds:.3f} s")
    assert seconds < END_SECONDS + 2
    assert daemon.process.returncode == 0
    assert "Traceback" not in daemon.said.read_text()


def test_a_model_that_is_not_there_ends_it_with_a_line(tmp_path: Path) -> None:
    args = ("--model", tmp_path / "nothing", "--output", "null")
    with DaemonProcess(tmp_path, *args) as hopeless:
        assert hopeless.process.wait(READY_SECONDS) == 69
        said = hopeless.said.read_text()
        assert "nothing" in said
        assert "Traceback" not in said


def test_a_stereo_model_gets_a_stereo_buffer(tmp_path: Path, tiny_stereo: Path) -> None:
    args = ("--model", tiny_stereo, "--output", "null", "--threads", "1")
    with DaemonProcess(tmp_path, *args) as stereo:
        stereo.until_playing(READY_SECONDS)
        assert stereo.events("ready")[-1]["channels"] == 2
