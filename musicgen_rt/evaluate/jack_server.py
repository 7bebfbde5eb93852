"""A JACK server with the dummy driver, of a name of its own: a sound card that every machine has.

Nothing of it is left: no process, no shared memory.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from musicgen_rt.errors import MusicgenRTError, UnsupportedError

RATE_HZ = 48_000
PERIOD_FRAMES = 512
DEADLINE_SECONDS = 30.0

# How long a client may be late before the server throws it out: without real-time priority, on a
# machine that others use too, much longer than a period.
_CLIENT_MS = 5000
_PRIORITY = 10
# A server whose clients were killed takes up to twice as long as these may be late to end. It is
# quicker to kill it too, and then to end another one of its name.
_END_SECONDS = (1.0, 10.0, 10.0)
_NUMBERS = itertools.count()
_NOWHERE = subprocess.DEVNULL


class JackServer:
    """One jackd; a context manager that runs it. `environment` is what a client needs to find it.

    Raises UnsupportedError where jackd is not installed.
    """

    def __init__(self, rate_hz: int = RATE_HZ, period_frames: int = PERIOD_FRAMES) -> None:
        self._jackd, self._jack_wait = _program("jackd"), _program("jack_wait")
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

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Run, and wait until clients are served. Raises MusicgenRTError if they are not."""
        # Real-time priority for it and its clients, where the system allows it; or without.
        command = [self._jackd, "-R", "-P", str(_PRIORITY), "-t", str(_CLIENT_MS)]
        command += ["--no-mlock", "-n", self.name]
        command += ["-d", "dummy", "-r", str(self.rate_hz), "-p", str(self.period_frames)]
        self._process = subprocess.Popen(
            command,
            env={**os.environ, **self.environment},
            # With SIGPIPE at its default, as Popen would set it, a client that is killed can take
            # the server along.
            restore_signals=False,
            stdin=_NOWHERE,
            stdout=_NOWHERE,
            stderr=_NOWHERE,
        )
        wait = [self._jack_wait, "-s", self.name, "-w", "-t", str(round(DEADLINE_SECONDS))]
        answer = subprocess.run(wait, check=False, stdout=_NOWHERE, stderr=_NOWHERE)
        if answer.returncode != 0:
            raise MusicgenRTError(
                f"jackd does not answer within {DEADLINE_SECONDS:.0f} s (it returned "
                f"{self._process.poll()}); end other JACK servers and try again"
            )

    def freeze(self) -> None:
        """Let it hang; `kill` and `stop` end that too."""
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
        for patience_seconds in _END_SECONDS:
            if self._end(signal.SIGTERM, patience_seconds) == 0:
                return
            self.start()
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals, patience_seconds: float = DEADLINE_SECONDS) -> int:
        """End it by a signal, killed where it does not in time; what it returned."""
        code = 0
        if self._process is not None:
            self._signal(number)
            self._signal(signal.SIGCONT)
            try:
                code = self._process.wait(patience_seconds)
            except subprocess.TimeoutExpired:  # it hangs in its own farewell
                self._process.kill()
                code = self._process.wait()
            self._process = None
        for path in Path("/dev/shm").glob(f"jack*{self.name}*"):
            path.unlink(missing_ok=True)
        return code

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise UnsupportedError(
            f"the program {name!r} is not on PATH: install jackd (Debian: apt install jackd2)"
        )
    return path
