"""The worker as a process: its first second, its heart, its end at any moment."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from musicgen_rt.contract.buffer import TimelineBuffer
from musicgen_rt.contract.buffer_snapshot import PlayoutState
from musicgen_rt.contract.pipe import Decoder, encode
from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.live.worker_exit import EXIT_CONFIG, EXIT_DEVICE, EXIT_OK

REAL, STAND_IN = "musicgen_rt.live.worker", "tests.support.stand_in_worker"
PATIENCE_SECONDS = 60.0
# Half a second on a quiet machine; the promise is one.
LEAVE_SECONDS = 2.0


class Process:
    """A worker with control's end of its pipe."""

    def __init__(self, module: str, folder: Path, **start: Any) -> None:
        self.buffer = TimelineBuffer.create(32000, 1, 26 * 32000)
        mine, theirs = socket.socketpair()
        self.control, self._decoder = mine, Decoder()
        self.faults = folder / "stand_in.json"
        self.faults.write_text("{}")
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                module,
                f"--pipe-fd={theirs.fileno()}",
                f"--buffer-fd={self.buffer.fd}",
            ],
            pass_fds=[theirs.fileno(), self.buffer.fd],
            start_new_session=True,
            env={**os.environ, "MUSICGEN_RT_STAND_IN": str(self.faults), "OMP_NUM_THREADS": "1"},
        )
        theirs.close()
        self.messages: list[dict[str, Any]] = []
        self.begun = time.monotonic()
        if start:
            self.start(**start)

    def start(self, **start: Any) -> None:
        self.send(
            {
                "type": "start",
                "timeline": Timeline.start(120.0).to_json(),
                "device": "cpu",
                "weights": "fp32",
                "threads": 1,
                "options": {"window_seconds": 4.0, "context_seconds": 1.2},
                "lead": {"lead_ms": 400},
                **start,
            }
        )

    def send(self, message: dict[str, Any]) -> None:
        self.control.sendall(encode(message))

    def wait_for(self, kind: str, seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """The next message of a kind; those before it are kept in `messages`."""
        deadline = time.monotonic() + seconds
        while True:
            for index, message in enumerate(self.messages):
                if message["type"] == kind:
                    del self.messages[: index + 1]
                    return message
            self._read(deadline, kind)

    def silent_for(self, seconds: float) -> bool:
        """Whether nothing comes within that time."""
        self.messages.clear()
        return not select.select([self.control], [], [], seconds)[0]

    def _read(self, deadline: float, kind: str) -> None:
        ready = select.select([self.control], [], [], max(0.0, deadline - time.monotonic()))[0]
        data = self.control.recv(1 << 16) if ready else b""
        assert data, f"no {kind}; exit code {self.process.poll()}, so far {self.messages}"
        self.messages += [message for message, _ in self._decoder.feed(data)]

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.control.close()
        self.buffer.close()


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[Process]]:
    processes: list[Process] = []
    yield processes
    for process in processes:
        process.end()


def seconds_to_leave(process: Process) -> float:
    begun = time.monotonic()
    process.process.wait(PATIENCE_SECONDS)
    return time.monotonic() - begun


def test_a_whole_life(started: list[Process], tiny_frame_conditioned: Path, tmp_path: Path) -> None:
    process = Process(
        REAL, tmp_path, model=str(tiny_frame_conditioned), resume_folder=str(tmp_path)
    )
    started.append(process)
    beat = process.wait_for("heartbeat")
    assert beat["is_loading"] is True
    assert time.monotonic() - process.begun < 20
    ready = process.wait_for("ready")
    assert (ready["sampling_rate_hz"], ready["hop_samples"], ready["channels"]) == (32000, 640, 1)
    assert (ready["attributes"], ready["has_clock"]) == (["drums", "bass", "lead"], True)
    assert ready["first_audio_seconds"] >= ready["load_seconds"] > 0
    assert process.buffer.peek(0, 640).shape == (1, 640)
    command = {"type": "command", "id": 5, "name": "attr/set", "args": ["drums", "off"]}
    process.send({**command, "frame": None})
    assert process.wait_for("applied")["id"] == 5
    process.send({**command, "id": 6, "args": ["drums", "loud"], "frame": None})
    assert "on, off, free" in process.wait_for("failed")["reason"]
    process.process.send_signal(signal.SIGINT)
    process.process.send_signal(signal.SIGHUP)
    beat = process.wait_for("heartbeat")
    assert {"next_frame", "steps_per_second", "rolls"} <= set(beat)
    process.send({"type": "quit"})
    assert seconds_to_leave(process) < LEAVE_SECONDS
    assert process.process.returncode == EXIT_OK


@pytest.mark.parametrize("how", ["pipe", "sigterm", "quit"])
def test_it_is_gone_within_a_second_even_if_it_hangs(
    how: str, started: list[Process], tiny_frame_conditioned: Path, tmp_path: Path
) -> None:
    process = Process(STAND_IN, tmp_path)
    started.append(process)
    process.faults.write_text(json.dumps({"hang_at_step": 40}))
    process.start(model=str(tiny_frame_conditioned))
    process.wait_for("ready")
    if how == "pipe":
        process.control.shutdown(socket.SHUT_RDWR)
    elif how == "sigterm":
        process.process.terminate()
    else:
        process.send({"type": "quit"})
    assert seconds_to_leave(process) < LEAVE_SECONDS
    assert process.process.returncode == EXIT_OK


def test_its_heart_stops_when_it_hangs(
    started: list[Process], tiny_frame_conditioned: Path, tmp_path: Path
) -> None:
    process = Process(STAND_IN, tmp_path, model=str(tiny_frame_conditioned))
    started.append(process)
    process.wait_for("ready")
    process.faults.write_text(json.dumps({"hang_at_step": "now"}))
    process.buffer.publish_state(PlayoutState.LIVE, 0)
    process.buffer.commit(10 * 640)
    process.buffer.publish_reader(10 * 640)  # it is asked for more, and hangs
    deadline = time.monotonic() + 10.0
    while time.monotonic() < deadline and not process.silent_for(1.0):
        process.control.recv(1 << 16)
    assert time.monotonic() < deadline, "silence after the stated 2 s"
    assert process.process.poll() is None


def test_a_checkpoint_that_is_no_good(started: list[Process], tmp_path: Path) -> None:
    process = Process(REAL, tmp_path, model=str(tmp_path / "nothing"))
    started.append(process)
    error = process.wait_for("error")
    assert error["where"] == "load"
    assert "nothing" in error["text"]
    process.process.wait(PATIENCE_SECONDS)
    assert process.process.returncode == EXIT_CONFIG


def test_a_device_error_is_told_and_ends_it(
    started: list[Process], tiny_frame_conditioned: Path, tmp_path: Path
) -> None:
    process = Process(STAND_IN, tmp_path)
    started.append(process)
    process.faults.write_text(json.dumps({"error": "cuda", "error_at_step": 30}))
    process.start(model=str(tiny_frame_conditioned), lead={"lead_ms": 1000})
    assert "CUDA error" in process.wait_for("error")["text"]
    process.process.wait(PATIENCE_SECONDS)
    assert process.process.returncode == EXIT_DEVICE
