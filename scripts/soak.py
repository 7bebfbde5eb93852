"""Plays for a long time, with somebody at the controls, and reports whether anything grows.

    scripts/soak.py --minutes 30 --model pocket --out out/soak

Starts the daemon with the null output, plays it over OSC at random (the seed is in the report) and
looks at its processes: memory, descriptors, threads, underruns, restarts. Writes soak.json and
soak.md; the exit code is 1 if something has grown or the music was interrupted. Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from soak_report import Course, Sample, markdown_of, report_of

from bridge.control.osc_decode import OscMessage, decode_packet
from bridge.control.osc_encode import encode_message

SAMPLE_SECONDS = 5.0
COMMAND_SECONDS = 1.0
START_SECONDS = 300.0
END_SECONDS = 5.0
PROMPTS = (
    "deep house, warm pads",
    "dub techno with long echoes",
    "drum and bass, rolling",
    "lo-fi hip hop, dusty keys",
    "ambient strings, slow",
)


class Player:
    """Plays at random: what somebody on a stage may do, and now and then what nobody should."""

    def __init__(self, seed: int, port: int) -> None:
        self._random = random.Random(seed)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self._target = ("127.0.0.1", port)
        self._turn = 0

    def send(self, address: str, *args: Any) -> None:
        self._socket.sendto(encode_message(f"/mgrt/{address}", args), self._target)

    def turn(self) -> None:
        """Do one thing."""
        self._turn += 1
        self.send("status")
        if self._turn % 20 == 1:
            self.send("notify", 1)
        draw = self._random
        actions = (
            ("prompt/set", draw.randrange(3), draw.choice(PROMPTS), 1.0, 4.0),
            ("prompt/weight", draw.randrange(3), draw.random(), 2.0),
            ("prompt/clear", draw.randrange(1, 3)),
            ("param/set/temperature", draw.uniform(0.7, 1.2)),
            ("param/set/cfg", draw.uniform(1.5, 4.0)),
            ("param/set/lead_ms", draw.choice((500.0, 1000.0, 2000.0))),
            ("attr/set", "drums", draw.choice(("on", "off", "free"))),
            ("melody/mode", draw.choice(("off", "follow"))),
            ("melody/note_on", draw.randrange(48, 72), 100),
            ("melody/clear",),
            ("clock/tempo", draw.uniform(90, 140)),
            ("gen/retry", 1),
            ("gen/undo", draw.randrange(1, 4)),
            ("gen/freeze", draw.randrange(2), 1),
            ("bank/save", draw.randrange(2)),
            ("bank/load", draw.randrange(2)),
            ("transport/stop",),
            ("transport/play",),
            ("audio/gain_db", draw.uniform(-12, 0)),
            ("no/such/address", 1),
        )
        self.send(*draw.choice(actions))
        if self._turn % 4 == 0:
            self.send("transport/play")

    def answers(self) -> list[OscMessage]:
        """What has come back since the last time."""
        messages = []
        while True:
            try:
                packet = decode_packet(self._socket.recv(65536))
            except BlockingIOError:
                return messages
            if isinstance(packet, OscMessage):
                messages.append(packet)


def main(argv: Sequence[str] | None = None) -> int:
    args = _arguments(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    log = args.out / "log.jsonl"
    log.unlink(missing_ok=True)
    course = Course()
    daemon = _start(args, log)
    try:
        port = _wait_for_port(log, daemon)
        started = time.monotonic()
        _play(course, daemon, Player(args.seed, port), args.minutes * 60)
        seconds = time.monotonic() - started
    finally:
        ended_seconds = _end(daemon)
    course.restarts = sum("started again" in line["text"] for line in _lines(log))
    setting = {"model": args.model, "output": args.output, "seed": args.seed}
    report = report_of(setting, course, seconds, daemon.returncode, ended_seconds)
    (args.out / "soak.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    text = markdown_of(report)
    (args.out / "soak.md").write_text(text, encoding="utf-8")
    print(text)
    return 0 if not report["complaints"] else 1


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--output", default="null")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("out/soak"))
    return parser.parse_args(argv)


def _start(args: argparse.Namespace, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "bridge", "jam", "--no-view", "--no-midi"]
    command += [f"--{name}-port=0" for name in ("osc", "zmq", "pub", "http")]
    command += ["--model", args.model, "--output", args.output]
    command += ["--json-log", str(log), "--data", str(args.out / "data")]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL)


def _lines(log: Path) -> list[dict[str, Any]]:
    if not log.exists():
        return []
    return [json.loads(line) for line in log.read_text().splitlines(keepends=True) if "\n" in line]


def _wait_for_port(log: Path, daemon: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and daemon.poll() is None:
        for line in _lines(log):
            if line.get("event", {}).get("name") == "listening":
                return int(line["event"]["osc"])
        time.sleep(0.05)
    raise SystemExit("the daemon did not start")


def _play(course: Course, daemon: subprocess.Popen[bytes], player: Player, seconds: float) -> None:
    began = time.monotonic()
    next_sample = next_command = began
    while (now := time.monotonic()) < began + seconds and daemon.poll() is None:
        if now >= next_command:
            next_command += COMMAND_SECONDS
            player.turn()
        if now >= next_sample:
            next_sample += SAMPLE_SECONDS
            _look(course, daemon.pid, now - began)
        for message in player.answers():
            _take(course, message)
        time.sleep(0.05)


def _take(course: Course, message: OscMessage) -> None:
    course.answers[message.address] += 1
    if message.address == "/fail":
        course.refusals[f"{message.args[0]}: {str(message.args[1])[:60]}"] += 1
    elif message.address == "/mgrt/fallback":
        course.fallbacks += int(bool(message.args[0]))
    elif message.address == "/mgrt/status.reply":
        course.underruns = int(message.args[7])
        if message.args[0] == "playing":
            course.steps_per_second.append(float(message.args[9]))
            course.lead_ms.append(float(message.args[6]))


def _look(course: Course, pid: int, seconds: float) -> None:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for one in (pid, *map(int, children)):
        try:
            command = Path(f"/proc/{one}/cmdline").read_bytes()
            pages = int(Path(f"/proc/{one}/statm").read_text().split()[1])
            fds = len(os.listdir(f"/proc/{one}/fd"))
            threads = len(os.listdir(f"/proc/{one}/task"))
        except OSError:  # it has just gone
            continue
        name = "control"
        if one != pid:
            name = "playout" if b"playout" in command else "engine"
        sample = Sample(seconds, pages * os.sysconf("SC_PAGE_SIZE"), fds, threads)
        course.samples.setdefault(name, []).append(sample)


def _end(daemon: subprocess.Popen[bytes]) -> float:
    began = time.monotonic()
    if daemon.poll() is None:
        daemon.send_signal(signal.SIGTERM)
        try:
            daemon.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
