"""A playout as the daemon has it: a child process with a pipe and the timeline buffer."""

from __future__ import annotations

import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from musicgen_rt.contract.buffer import TimelineBuffer
from musicgen_rt.contract.pipe import Pipe
from musicgen_rt.contract.timeline import Timeline
from tests.bridge.playout.twin import BPM, HOP_SAMPLES, RATE_HZ, Signal, TwinEngine

ROOT = Path(__file__).parents[3]
DEADLINE_SECONDS = 30.0


class Playout:
    """Spawns one on an existing buffer, of another program with `module`; for a with statement."""

    def __init__(
        self,
        buffer: TimelineBuffer,
        environment: Mapping[str, str] | None = None,
        *,
        module: str = "bridge.playout.process",
        **options: Any,
    ) -> None:
        ours, theirs = socket.socketpair()
        self._pipe = Pipe(ours)
        command = [sys.executable, "-m", module]
        command += ["--pipe-fd", str(theirs.fileno()), "--buffer-fd", str(buffer.fd)]
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            pass_fds=[theirs.fileno(), buffer.fd],
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )
        theirs.close()
        self.messages: list[dict[str, Any]] = []
        self.payloads: list[bytes] = []
        self._arrived: queue.SimpleQueue[tuple[dict[str, Any], bytes] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        timeline = Timeline.start(BPM).to_json()
        self.send(type="start", hop_samples=HOP_SAMPLES, timeline=timeline, **options)

    def __enter__(self) -> Playout:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE_SECONDS)
        self._thread.join(DEADLINE_SECONDS)
        self._pipe.close()

    def send(self, **message: Any) -> None:
        """A message of control."""
        self._pipe.send(message)

    def wait_for(
        self,
        kind: str,
        is_right: Callable[[dict[str, Any]], bool] = lambda message: True,
        seconds: float = DEADLINE_SECONDS,
    ) -> dict[str, Any]:
        """The next message of one type that is right; those before it are kept."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                item = self._arrived.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {kind} in {seconds} s: {self.messages[-5:]}") from None
            assert item is not None, f"the playout ended before {kind}: {self.messages[-5:]}"
            self.messages.append(item[0])
            self.payloads.append(item[1])
            if item[0]["type"] == kind and is_right(item[0]):
                return item[0]

    def wait_end(self, seconds: float = DEADLINE_SECONDS) -> int:
        """Its exit code; all that it still said is in `messages`."""
        code = self.process.wait(seconds)
        while (item := self._arrived.get(timeout=seconds)) is not None:
            self.messages.append(item[0])
        return code

    def hang_up(self) -> None:
        """Close the daemon's end of the pipe, as when it dies."""
        self._pipe._socket.shutdown(socket.SHUT_RDWR)

    def _read(self) -> None:
        for item in self._pipe.receive():
            self._arrived.put(item)
        self._arrived.put(None)


class EngineThread:
    """A stand-in engine in real time; use it in a with statement."""

    def __init__(self, buffer: TimelineBuffer, signal: Signal) -> None:
        self.twin = TwinEngine(buffer, signal)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> EngineThread:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(DEADLINE_SECONDS)

    def _run(self) -> None:
        while not self._stopped.wait(0.02):
            self.twin.run()


def new_buffer(channels: int = 2) -> TimelineBuffer:
    """As the daemon makes it."""
    return TimelineBuffer.create(RATE_HZ, channels, 30 * RATE_HZ)
