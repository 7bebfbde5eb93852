"""A JACK server with the dummy driver, and a client that records what is played on it.

Each has a name of its own, and nothing of it is left: no process, no shared memory.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tests.bridge.playout.jack_recorder import HEADER
from tests.programs import requires_program

DEADLINE_SECONDS = 20.0
_CONNECTING_PERIODS = 8
_MAX_STOPS = 3
_NUMBERS = itertools.count()
_PROGRAM = Path(__file__).with_name("jack_recorder.py")


class JackServer:
    """One jackd. `environment` is what a client needs to find it."""

    def __init__(self, rate_hz: int = 48000, period_frames: int = 512) -> None:
        self._jackd, self._jack_wait = requires_program("jackd"), requires_program("jack_wait")
        self.name = f"mgrt-{os.getpid()}-{next(_NUMBERS)}"
        self.rate_hz = rate_hz
        self.period_frames = period_frames
        self.environment = {
            "JACK_NO_AUDIO_RESERVATION": "1",
            "JACK_NO_START_SERVER": "1",
            "JACK_DEFAULT_SERVER": self.name,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._holds_slot = False

    def start(self) -> None:
        """Run, and wait until clients are served."""
        command = [self._jackd, "-r", "--no-mlock", "-n", self.name, "-d", "dummy"]
        command += ["-r", str(self.rate_hz), "-p", str(self.period_frames)]
        self._process = subprocess.Popen(
            command,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # With SIGPIPE at its default, as Popen would set it, a client that is killed can take
            # the server along.
            restore_signals=False,
        )
        wait = [self._jack_wait, "-s", self.name, "-w", "-t", str(round(DEADLINE_SECONDS))]
        answer = subprocess.run(
            wait, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        assert answer.returncode == 0, f"jackd does not answer (it returned {self._process.poll()})"

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def kill(self) -> None:
        """As a crash; nothing is said to its clients."""
        self._end(signal.SIGKILL)
        self._holds_slot = True

    def stop(self) -> None:
        """In good order.

        JACK's registry has eight slots for all servers of a machine. One that is killed, or dies
        while it ends, keeps its slot, which only a server of the same name gives back.
        """
        if self._process is None and self._holds_slot:
            self.start()
        for _ in range(_MAX_STOPS):
            if self._end(signal.SIGTERM) == 0:
                return
            self.start()
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> int:
        """End it by a signal; what it returned."""
        code = 0
        if self._process is not None:
            self._signal(number)
            self._signal(signal.SIGCONT)
            code = self._process.wait(DEADLINE_SECONDS)
            self._process = None
        for path in Path("/dev/shm").glob(f"jack*{self.name}*"):
            path.unlink(missing_ok=True)
        return code

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


class Period(NamedTuple):
    """What was heard in one of the server's periods: [2, N], from the server's `frame` on."""

    frame: int
    samples: NDArray[np.float32]
    # The server's estimate of the frame at a moment of the monotonic clock.
    frame_now: int
    now_seconds: float


class JackRecorder:
    """Records what the playout plays, as soon as it plays."""

    def __init__(self, server: JackServer) -> None:
        self._rate_hz = server.rate_hz
        self._periods: list[Period] = []
        self._process = subprocess.Popen(
            [sys.executable, str(_PROGRAM), server.name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        self._thread = threading.Thread(
            target=self._read, args=(self._process.stdout,), daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._process.kill()
        self._process.wait(DEADLINE_SECONDS)
        self._thread.join(DEADLINE_SECONDS)

    def stretches(self, shortest_samples: int = 4800) -> list[NDArray[np.float32]]:
        """What was recorded, [N, 2] each, divided where this client itself missed a period.

        Without real-time priority that happens to it, and says nothing about what it listens to.
        The first begins some periods behind the first sound: while JACK puts a new connection into
        its graph, periods come twice or not at all.
        """
        periods = list(self._periods)
        first = next((n for n, period in enumerate(periods) if period.samples.any()), 0)
        first += _CONNECTING_PERIODS
        cuts = [
            n
            for n in range(first + 1, len(periods))
            if periods[n].frame != periods[n - 1].frame + periods[n - 1].samples.shape[1]
        ]
        parts = [periods[a:b] for a, b in pairwise([first, *cuts, len(periods)])]
        joined = [np.concatenate([p.samples for p in part], axis=1).T for part in parts if part]
        return [samples for samples in joined if len(samples) >= shortest_samples]

    def wait_for_level(self, level: float) -> int:
        """Wait for a sample above `level`; the server's number of the first one."""
        until(lambda: self._first_over(level) is not None, f"a level of {level}")
        frame = self._first_over(level)
        assert frame is not None
        return frame

    def monotonic_seconds(self, frame: int) -> tuple[float, float]:
        """When the server's frame `frame` was, and how far its own estimates lie apart."""
        looks = [
            period.now_seconds - (period.frame_now - frame) / self._rate_hz
            for period in list(self._periods)
            if abs(period.frame - frame) < self._rate_hz
        ]
        return float(np.median(looks)), float(np.ptp(looks))

    def _first_over(self, level: float) -> int | None:
        for period in list(self._periods):
            is_over = (np.abs(period.samples) > level).any(axis=0)
            if is_over.any():
                return period.frame + int(is_over.argmax())
        return None

    def _read(self, stream: IO[bytes]) -> None:
        with stream:
            while len(head := stream.read(HEADER.size)) == HEADER.size:
                frame, count, frame_now, now_seconds = HEADER.unpack(head)
                data = stream.read(8 * count)
                if len(data) == 8 * count:
                    samples = np.frombuffer(data, np.float32).reshape(2, count)
                    self._periods.append(Period(frame, samples, frame_now, now_seconds))


@contextlib.contextmanager
def jack_server(rate_hz: int = 48000, period_frames: int = 512) -> Iterator[JackServer]:
    """A running server that is gone afterwards."""
    server = JackServer(rate_hz, period_frames)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def jack_recorder(server: JackServer) -> Iterator[JackRecorder]:
    recorder = JackRecorder(server)
    try:
        yield recorder
    finally:
        recorder.close()


def slowdown() -> float:
    """How many times longer than alone things take here now, since others use the processors."""
    began, began_cpu = time.monotonic(), time.thread_time()
    while time.thread_time() - began_cpu < 0.02:
        pass
    return max(1.0, (time.monotonic() - began) / 0.02)


def until(is_so: Callable[[], bool], what: str, seconds: float = DEADLINE_SECONDS) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.01)
