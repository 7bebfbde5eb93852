"""F41: SIGTERM at any moment: a short fade, files closed, gone within 2 s, and nothing is left.

`SIGTERM_MOMENTS=50 pytest tests/faults/test_f41_sigterm.py` tries so many; the seed is printed.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import soundfile

from tests.bridge.daemon_rig import END_SECONDS, DaemonProcess
from tests.bridge.tone_engine import AMPLITUDE, CLICK

MOMENTS = int(os.environ.get("SIGTERM_MOMENTS", "4"))
SEED = int(os.environ.get("SIGTERM_SEED", "1"))
# From the first instruction to well after the start of the music.
LATEST_SECONDS = 6.0
# On a starved machine a process that has ended takes its time to go. The daemon keeps its own
# deadline, below END_SECONDS, and ends with another code when it has passed.
GRACE_SECONDS = 2.0
FADE_SECONDS = 0.05
# A child whose daemon has died leaves within a second, on a machine that is not busy.
ORPHAN_SECONDS = 5.0
TONE = "tests.bridge.tone_daemon"
Names = TypeVar("Names", bound=Collection[str])


def left_behind(folder: Path) -> list[str]:
    """The processes that were started for a daemon of `folder` and still run."""
    mark = f"XDG_RUNTIME_DIR={folder}".encode()
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdecimal() and mark in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:  # gone, or another user's
            continue
    return found


def shared_memory() -> set[str]:
    """Named memory; sound servers and their clients of other tests leave some too."""
    return {path.name for path in Path("/dev/shm").iterdir() if "jack" not in path.name}


def remains_of(look: Callable[[], Names]) -> Names:
    """What is still there after a while."""
    deadline = time.monotonic() + ORPHAN_SECONDS
    while (names := look()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return names


def check_end(daemon: DaemonProcess, seconds: float, memory_before: set[str]) -> None:
    """It is gone in time, in order, and nothing is left of it."""
    said = daemon.said.read_text()
    assert seconds < END_SECONDS + GRACE_SECONDS, said
    # Before the program's own handlers are there the signal ends it as any other.
    assert daemon.process.returncode in (0, -signal.SIGTERM, 128 + signal.SIGTERM), said
    assert "Traceback" not in said
    assert left_behind(daemon.folder) == []
    assert not list((daemon.folder / "musicgen-rt").glob("resume-*"))
    # What others have for a moment goes, what nobody holds any more stays.
    assert remains_of(lambda: shared_memory() - memory_before) == set()


@pytest.mark.parametrize("number", range(MOMENTS))
def test_f41_sigterm_at_a_random_moment(
    tmp_path: Path, tiny_frame_conditioned: Path, number: int
) -> None:
    moment_seconds = random.Random(SEED + number).uniform(0, LATEST_SECONDS)
    # Every other one with the real engine: it imports, loads and computes while the signal comes.
    module = "bridge" if number % 2 == 0 else TONE
    print(f"seed {SEED + number}: {module}, after {moment_seconds:.3f} s")
    args = ("--model", tiny_frame_conditioned, "--output", "null", "--threads", "1")
    before = shared_memory()
    with DaemonProcess(tmp_path, *args, module=module) as daemon:
        time.sleep(max(0.0, daemon.started + moment_seconds - time.monotonic()))
        check_end(daemon, daemon.stop(), before)


@pytest.mark.parametrize("output", ["null", "wav"])
def test_f41_files_are_closed_and_the_music_fades(tmp_path: Path, output: str) -> None:
    before = shared_memory()
    path = tmp_path / "out.wav"
    wanted = f"wav:{path}" if output == "wav" else output
    with DaemonProcess(tmp_path, "--output", wanted, module=TONE) as daemon:
        daemon.until_playing()
        if output == "null":
            path = tmp_path / "data" / "recordings" / "take.flac"
            answer = daemon.client.ask("/mgrt/audio/record", 1, "take.flac")
            assert answer[0] == "/done", answer
        daemon.until_status(lambda s: s["bar"] >= 2)
        check_end(daemon, daemon.stop(), before)
    samples, rate_hz = soundfile.read(path)
    samples = samples.reshape(len(samples), -1)[:, 0]
    assert len(samples) > rate_hz
    is_sound = np.abs(samples) > 1e-4
    end = int(np.flatnonzero(is_sound)[-1]) + 1
    # The tone at its full level, then down to nothing without a click.
    fade = round(FADE_SECONDS * rate_hz)
    assert np.abs(samples[end - 2 * fade : end - fade]).max() == pytest.approx(AMPLITUDE, rel=0.05)
    assert np.abs(samples[end - 20 : end]).max() < 0.1 * AMPLITUDE
    assert np.abs(np.diff(samples[end - 3 * fade :])).max() < CLICK * 48_000 / rate_hz


@pytest.mark.parametrize("kill_first", [False, True])
def test_f41_children_leave_when_the_daemon_is_killed(tmp_path: Path, kill_first: bool) -> None:
    with DaemonProcess(tmp_path, "--output", "null", module=TONE) as daemon:
        daemon.until_playing()
        if kill_first:  # a new engine is on its way while the daemon dies
            os.kill(daemon.pids()["engine"], signal.SIGKILL)
        daemon.process.kill()
        daemon.process.wait()
        assert remains_of(lambda: left_behind(tmp_path)) == []


def test_f41_two_signals_end_it_at_once(tmp_path: Path) -> None:
    with DaemonProcess(tmp_path, "--output", "null", module=TONE) as daemon:
        daemon.until(lambda: daemon.pids().keys() >= {"engine", "playout"})
        daemon.process.send_signal(signal.SIGINT)
        assert daemon.stop(signal.SIGINT) < END_SECONDS + GRACE_SECONDS
        assert remains_of(lambda: left_behind(tmp_path)) == []
