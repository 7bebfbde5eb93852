"""The daemon as a performer has it: a process of its own, played over OSC by python-osc."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from pythonosc.osc_message import OscMessage, ParseError
from pythonosc.osc_message_builder import OscMessageBuilder

from musicgen_rt.errors import MusicgenRTError

PREFIX = "/mgrt/"
READY_SECONDS = 120.0
ANSWER_SECONDS = 10.0
END_SECONDS = 5.0
_LOOK_SECONDS = 0.02
_PACKET_BYTES = 65536


class Status(NamedTuple):
    """What /mgrt/status is answered with; what may follow it is left out."""

    phase: str
    model: str
    progress: float
    bar: int
    beat: int
    bpm: float
    lead_ms: float
    underruns: int
    is_fallback: bool
    steps_per_second: float
    peak_db: float


class Answer(NamedTuple):
    """A message that came, and when (monotonic)."""

    address: str
    args: tuple[Any, ...]
    seconds: float


class StageClient:
    """Sends commands over UDP and keeps what comes back until it is taken. One thread."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._answers: list[Answer] = []

    def close(self) -> None:
        self._socket.close()

    def send(self, name: str, *args: Any) -> float:
        """Send /mgrt/`name`; the moment just before (monotonic seconds)."""
        builder = OscMessageBuilder(PREFIX + name)
        for value in args:
            builder.add_arg(value)
        packet = builder.build().dgram
        now = time.monotonic()
        self._socket.sendto(packet, self._target)
        return now

    def take(self, timeout_seconds: float = 0.0) -> list[Answer]:
        """All that has come, after waiting for the first one at most so long."""
        answers, self._answers = self._answers, []
        while True:
            self._socket.settimeout(timeout_seconds if not answers else 0.0)
            try:
                message = OscMessage(self._socket.recv(_PACKET_BYTES))
            except ParseError:
                continue
            except (TimeoutError, OSError):
                return answers
            answers.append(Answer(message.address, tuple(message.params), time.monotonic()))

    def wait(
        self, accepts: Callable[[Answer], bool], seconds: float = ANSWER_SECONDS
    ) -> Answer | None:
        """The first answer that is accepted; None if there is none in time. Others stay."""
        deadline = time.monotonic() + seconds
        others: list[Answer] = []
        found = None
        while found is None and time.monotonic() < deadline:
            answers = self.take(max(0.0, min(_LOOK_SECONDS, deadline - time.monotonic())))
            found = next((one for one in answers if accepts(one)), None)
            others += [one for one in answers if one is not found]
        self._answers = others + self._answers
        return found

    def ask(self, name: str, *args: Any, seconds: float = ANSWER_SECONDS) -> Answer | None:
        """Send a command; its /done or /fail, None if there is none in time."""
        address = PREFIX + name
        self.send(name, *args)
        return self.wait(
            lambda one: one.address in ("/done", "/fail") and one.args[0] == address, seconds
        )

    def status(self, seconds: float = ANSWER_SECONDS) -> Status | None:
        """The daemon's status, None if it does not answer."""
        self.send("status")
        answer = self.wait(lambda one: one.address == f"{PREFIX}status.reply", seconds)
        return None if answer is None else Status(*answer.args[: len(Status._fields)])


class StageDaemon:
    """`musicgen-rt jam`, its ports chosen by the system. A context manager that ends it.

    `folder` holds its log and its data; arguments are those of the command. Raises MusicgenRTError
    where it does not do as it should, with what it said last.
    """

    def __init__(
        self,
        folder: Path,
        *arguments: object,
        environment: Mapping[str, str] | None = None,
        program: Sequence[str] = ("bridge",),
    ) -> None:
        """`program` is the module that is run, and what comes before the command."""
        folder.mkdir(parents=True, exist_ok=True)
        self.log, self.said = folder / "log.jsonl", folder / "said.txt"
        self.log.unlink(missing_ok=True)
        command = [sys.executable, "-m", *program, "jam", "--no-view", "--no-midi"]
        command += [f"--{name}-port=0" for name in ("osc", "zmq", "pub", "http")]
        command += ["--json-log", str(self.log), "--data", str(folder / "data")]
        with self.said.open("wb") as said:
            self.started_seconds = time.monotonic()
            self.process = subprocess.Popen(
                [*command, *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                # A runtime folder of its own: the lock is for the performer's daemon.
                env={**os.environ, "XDG_RUNTIME_DIR": str(folder.resolve()), **(environment or {})},
            )
        self._client: StageClient | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    @property
    def client(self) -> StageClient:
        """A client of it; waits until it listens."""
        if self._client is None:
            self._client = StageClient(self.event("listening")["osc"])
        return self._client

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def lines(self) -> list[dict[str, Any]]:
        """The lines of its JSON log that are whole."""
        if not self.log.exists():
            return []
        text = self.log.read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines(keepends=True) if line[-1:] == "\n"]

    def events(self, name: str) -> list[dict[str, Any]]:
        """What its log has of one kind of event."""
        found = [line.get("event") for line in self.lines()]
        return [one for one in found if isinstance(one, dict) and one.get("name") == name]

    def event(self, name: str, seconds: float = READY_SECONDS) -> dict[str, Any]:
        """The first event of a kind; waits for it."""
        self.until(lambda: bool(self.events(name)), seconds, name)
        return self.events(name)[0]

    def until(self, is_so: Callable[[], bool], seconds: float, what: str) -> None:
        """Look until something is so. Raises MusicgenRTError naming it."""
        deadline = time.monotonic() + seconds
        while not is_so():
            if not self.is_alive or time.monotonic() > deadline:
                said = self.said.read_text(encoding="utf-8", errors="replace")[-2000:]
                why = f"not within {seconds:.0f} s" if self.is_alive else "the daemon has ended"
                raise MusicgenRTError(f"{what}: {why}. It said:\n{said}")
            time.sleep(_LOOK_SECONDS)

    def until_playing(self, seconds: float = READY_SECONDS) -> float:
        """Wait for music at the output; how long after its start that was, in seconds."""

        def is_playing() -> bool:
            status = self.client.status(_LOOK_SECONDS)
            return status is not None and status.phase == "playing" and status.peak_db > -60

        self.until(is_playing, seconds, "music")
        return time.monotonic() - self.started_seconds

    def end(self) -> float:
        """End it in good order, or by force; how long that took in seconds."""
        began = time.monotonic()
        if self._client is not None:
            self._client.close()
            self._client = None
        if self.is_alive:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return time.monotonic() - began
