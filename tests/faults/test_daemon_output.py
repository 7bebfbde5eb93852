"""F09: the output goes - its process, or the whole sound server - and comes back."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from musicgen_rt.evaluate.jack_recording import JackRecording
from musicgen_rt.evaluate.jack_server import JackServer
from tests.bridge.daemon_rig import DaemonProcess
from tests.bridge.jack_server import jack_server
from tests.bridge.playout.jack_rig import slowdown

pytestmark = pytest.mark.jack

# From the server's return to sound; and for a process that must first be started again.
BACK_SECONDS = 1.0
# Beside other work a process takes its time to start, and a server to let it in.
GRACE_SECONDS = 8.0


def sound(server: JackServer, seconds: float) -> float:
    """Connect to the daemon's output and wait until it is heard; when that was."""
    with JackRecording(server) as ear:
        ear.wait_for_sound(seconds)
        return time.monotonic()


@pytest.mark.timeout(240)
def test_f09_playout_and_sound_server_die_and_sound_comes_back(tmp_path: Path) -> None:
    module = "tests.bridge.tone_daemon"
    with (
        jack_server() as server,
        DaemonProcess(
            tmp_path, "--output", "jack", env=server.environment, module=module
        ) as daemon,
    ):
        daemon.until(lambda: [e for e in daemon.events("ready") if e.get("host_api")])
        sound(server, 30)

        playout, began = daemon.pids()["playout"], time.monotonic()
        daemon.kill_child("playout")
        daemon.until(lambda: daemon.pids().get("playout", playout) != playout)
        seconds = sound(server, 30) - began
        print(f"after the playout was killed: sound in {seconds:.2f} s")
        assert seconds < BACK_SECONDS * slowdown() + GRACE_SECONDS
        server.kill()
        # Now the server is gone: it is told, and the session goes on.
        daemon.until(lambda: "no sound" in daemon.said.read_text())
        place = daemon.client.status()
        daemon.until_status(lambda s: (s["bar"], s["beat"]) > (place["bar"], place["beat"]))
        server.start()
        began = time.monotonic()
        seconds = sound(server, 30) - began
        print(f"after the sound server came back: sound in {seconds:.2f} s")
        assert seconds < BACK_SECONDS * slowdown() + GRACE_SECONDS
        assert daemon.client.status()["phase"] == "playing"
