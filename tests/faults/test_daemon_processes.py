"""F02, F03, F13, F14: a process hangs, dies, pauses or starves, and the music goes on.

Heard through a JACK server with the dummy driver. The engine plays a steady tone, which shows any
click and any hole.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from musicgen_rt.evaluate.jack_recording import JackRecording
from tests.bridge.daemon_rig import DaemonProcess
from tests.bridge.ear import assert_tone_is_whole
from tests.bridge.jack_server import jack_server
from tests.bridge.playout.jack_rig import slowdown
from tests.bridge.tone_engine import CLICK

pytestmark = pytest.mark.jack

BACK_SECONDS = 10.0
Stage = tuple[DaemonProcess, JackRecording]


@pytest.fixture(scope="module")
def playing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A daemon that plays into JACK, and who listens to it."""
    folder = tmp_path_factory.mktemp("daemon")
    with jack_server() as server:
        module, env = "tests.bridge.tone_daemon", server.environment
        with DaemonProcess(folder, "--output", "jack", env=env, module=module) as daemon:
            daemon.until_playing()
            with JackRecording(server) as ear:
                ear.wait_for_sound()
                yield daemon, ear


@pytest.fixture
def stage(playing: Stage) -> Stage:
    """The same, and well again after what an earlier test did to it."""
    playing[0].until_status(lambda s: not s["is_fallback"] and s["lead_ms"] > 1500)
    return playing


@contextmanager
def unharmed(stage: Stage) -> Iterator[None]:
    """What is heard during the block, and a second after it, is the tone and nothing else."""
    daemon, ear = stage
    first, underruns = ear.end_frame, daemon.client.status()["underruns"]
    yield
    end = ear.end_frame + ear.rate_hz
    daemon.until(lambda: ear.end_frame > end)
    assert daemon.client.status()["underruns"] == underruns
    assert_tone_is_whole(ear, first, max_step=CLICK)


@pytest.mark.parametrize(
    "number",
    [pytest.param(signal.SIGSTOP, id="f02-hangs"), pytest.param(signal.SIGKILL, id="f03-killed")],
)
def test_f02_f03_a_new_engine_takes_over(stage: Stage, number: int) -> None:
    daemon, _ = stage
    readies = len(daemon.events("ready"))
    began = time.monotonic()
    with unharmed(stage):
        os.kill(daemon.pids()["engine"], number)
        daemon.until(lambda: len(daemon.events("ready")) > readies, 30)
        daemon.until_status(lambda s: not s["is_fallback"] and s["lead_ms"] > 500)
        back_seconds = time.monotonic() - began
    print(f"back after {back_seconds:.2f} s")
    assert back_seconds < BACK_SECONDS * slowdown()
    assert "started again" in daemon.said.read_text()


def test_f13_the_control_process_may_pause(stage: Stage) -> None:
    daemon, _ = stage
    with unharmed(stage), stopped(daemon.process.pid, 1.0):
        pass
    # Nobody was taken for dead meanwhile.
    assert daemon.client.status()["phase"] == "playing"


def test_f13_the_engine_may_pause_for_less_than_the_lead(stage: Stage) -> None:
    daemon, _ = stage
    engine = daemon.pids()["engine"]
    with unharmed(stage), stopped(engine, 0.5):
        pass
    assert daemon.pids()["engine"] == engine


def test_f13_the_playouts_interpreter_may_pause(stage: Stage) -> None:
    daemon, _ = stage
    playout = daemon.pids()["playout"]
    with unharmed(stage):
        for _ in range(10):
            os.kill(playout, signal.SIGUSR1)
            time.sleep(0.1)
    assert daemon.pids()["playout"] == playout


def test_f14_the_machine_is_busy_for_a_second(stage: Stage) -> None:
    daemon, _ = stage
    pids = daemon.pids()
    busy = "import time\nend = time.monotonic() + 1\nwhile time.monotonic() < end: pass"
    with unharmed(stage):
        others = [
            subprocess.Popen([sys.executable, "-c", busy]) for _ in range(2 * (os.cpu_count() or 1))
        ]
        for other in others:
            other.wait()
    assert daemon.pids() == pids


@contextmanager
def stopped(pid: int, seconds: float) -> Iterator[None]:
    """A process gets no turn at all for so long."""
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        os.kill(pid, signal.SIGCONT)
    yield
