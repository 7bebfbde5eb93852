"""A real daemon in processes of its own, for tests: started, talked to over OSC, ended."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder

from musicgen_rt.evaluate.stage_processes import parts_of

ROOT = Path(__file__).resolve().parents[2]
# Nobody waits so long but where something is wrong.
ANSWER_SECONDS = 60.0
# Loading beside other tests on a slow machine takes its time.
READY_SECONDS = 60.0
END_SECONDS = 2.0

STATUS = (
    "phase", "model", "progress", "bar", "beat", "bpm", "lead_ms", "underruns", "is_fallback",
    "steps_per_second", "peak_db", "clock_source", "is_locked", "jitter_ms", "drift_ppm",
    "error_ms", "lock", "confidence", "late_ms",
)  # fmt: skip


class OscClient:
    """A UDP client made with python-osc: an implementation other than ours.

    A thread takes what comes: a socket that nobody reads holds some hundred messages, and loses
    the answer that follows them.
    """

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._arrived: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.received: list[tuple[Any, ...]] = []

    def close(self) -> None:
        self._socket.sendto(b"", self._socket.getsockname())
        self._reader.join()
        self._socket.close()

    def _read(self) -> None:
        while packet := self._socket.recv(65536):
            self._arrived.put(packet)

    def send(self, address: str, *args: Any) -> None:
        builder = OscMessageBuilder(address)
        for value in args:
            builder.add_arg(value)
        self._socket.sendto(builder.build().dgram, self._target)

    def wait(
        self, accepts: Callable[[tuple[Any, ...]], bool], seconds: float = ANSWER_SECONDS
    ) -> tuple[Any, ...]:
        """The next message (address, *args) that is accepted; all are kept in `received`."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                message = OscMessage(self._arrived.get(timeout=left))
            except queue.Empty:
                break
            found = (message.address, *message.params)
            self.received.append(found)
            if accepts(found):
                return found
        raise AssertionError(f"no such message in {seconds} s; got {self.received[-10:]}")

    def ask(self, address: str, *args: Any, seconds: float = ANSWER_SECONDS) -> tuple[Any, ...]:
        """Send a command; its /done or /fail or message of its own."""
        self.send(address, *args)
        own = (f"{address}.reply", address.replace("/sync", "/synced"))
        return self.wait(
            lambda m: m[0] in own or (m[0] in ("/done", "/fail") and m[1] == address), seconds
        )

    def status(self, seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
        """The daemon's status by the names of its values."""
        return dict(zip(STATUS, self.ask("/mgrt/status", seconds=seconds)[1:], strict=False))


class DaemonProcess:
    """`musicgen-rt jam` with its ports chosen by the system, and a client of it."""

    def __init__(
        self,
        folder: Path,
        *args: object,
        env: Mapping[str, str] | None = None,
        module: str = "bridge",
        ports: Sequence[int] = (0, 0, 0, 0),
    ) -> None:
        self.folder = folder
        self.known_ports = tuple(ports)
        self.log = folder / "log.jsonl"
        self.said = folder / "said.txt"
        flags = ("--osc-port", "--zmq-port", "--pub-port", "--http-port")
        command = [sys.executable, "-m", module, "jam", "--no-midi", "--no-view"]
        command += [item for pair in zip(flags, map(str, ports), strict=True) for item in pair]
        command += ["--json-log", str(self.log), "--data", str(folder / "data")]
        # A suite that was started in the background ignores SIGINT, and a child would inherit that.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with self.said.open("wb") as said:
            self.started = time.monotonic()
            self.process = subprocess.Popen(
                [*command, *map(str, args)],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
                    "OMP_NUM_THREADS": "1",
                    "XDG_RUNTIME_DIR": str(folder),
                    **(env or {}),
                },
            )
        self._client: OscClient | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._client is not None:
            self._client.close()
        pids = self.pids()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in pids.values():
            kill(pid)

    @property
    def client(self) -> OscClient:
        """A client of this daemon."""
        if self._client is None:
            self._client = OscClient(self.ports()["osc"])
        return self._client

    def events(self, name: str) -> list[dict[str, Any]]:
        """What the JSON log has of one kind of event."""
        return [
            line["event"]
            for line in self.lines()
            if isinstance(line.get("event"), dict) and line["event"].get("name") == name
        ]

    def lines(self) -> list[dict[str, Any]]:
        """The lines of the JSON log that are whole."""
        try:
            text = self.log.read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in text.splitlines(keepends=True) if line[-1:] == "\n"]

    def until(self, condition: Callable[[], Any], seconds: float = READY_SECONDS) -> Any:
        """Wait until something holds, while the daemon lives; what it gave."""
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert self.process.poll() is None, f"ended: {self.said.read_text()}"
            assert time.monotonic() < deadline, f"not in {seconds} s: {self.said.read_text()}"
            time.sleep(0.02)
        return found

    def ports(self) -> dict[str, int]:
        """The ports that it listens on."""
        ports: dict[str, int] = self.until(lambda: self.events("listening"))[0]
        return ports

    def until_playing(self, seconds: float = READY_SECONDS) -> dict[str, Any]:
        """Wait for music at the output; the status."""
        return self.until_status(lambda s: s["phase"] == "playing" and s["peak_db"] > -60, seconds)

    def until_status(
        self, condition: Callable[[dict[str, Any]], bool], seconds: float = READY_SECONDS
    ) -> dict[str, Any]:
        """Wait until the status is as wanted; the status."""

        def wanted() -> dict[str, Any] | None:
            status = self.client.status()
            return status if condition(status) else None

        found: dict[str, Any] = self.until(wanted, seconds)
        return found

    def pids(self) -> dict[str, int]:
        """The processes that are its children now: engine, playout."""
        return parts_of(self.process.pid)

    def kill_child(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to one of its children."""
        os.kill(self.pids()[name], number)

    def stop(self, number: int = signal.SIGTERM) -> float:
        """Send a signal and wait; how long it took in seconds."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(timeout=END_SECONDS + 5)
        return time.monotonic() - began


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def kill(pid: int) -> None:
    """End what a failed test has left."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def free_ports() -> tuple[int, int, int, int]:
    """Ports that were free a moment ago, for a daemon that must have known ones."""
    sockets = [socket.socket() for _ in range(4)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    first, second, third, fourth = (one.getsockname()[1] for one in sockets)
    for one in sockets:
        one.close()
    return first, second, third, fourth
