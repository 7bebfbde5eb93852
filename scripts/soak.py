"""Plays for a long time, with somebody at the controls, and reports whether anything grows.

    scripts/soak.py --minutes 30 --model pocket --out out/soak

Starts the daemon with the null output, plays it over OSC at random (the seed is in the report),
listens to its PCM and looks at its processes: every sample, every beat, memory, descriptors,
threads, underruns, restarts. Writes soak.json and soak.md; the exit code is 1 if anything is to be
complained of. Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from soak_report import Course, Sample, markdown_of, report_of

from musicgen_rt.evaluate.pcm_ear import PcmEar
from musicgen_rt.evaluate.stage_daemon import PREFIX, Answer, StageClient, StageDaemon
from musicgen_rt.evaluate.stage_processes import parts_of

SAMPLE_SECONDS = 5.0
COMMAND_SECONDS = 1.0
READY_SECONDS = 300.0
PROMPTS = (
    "deep house, warm pads",
    "dub techno with long echoes",
    "drum and bass, rolling",
    "lo-fi hip hop, dusty keys",
    "ambient strings, slow",
)


class Player:
    """Plays at random: what somebody on a stage may do, and now and then what nobody should."""

    def __init__(self, seed: int, client: StageClient) -> None:
        self._random = random.Random(seed)
        self._client = client
        self._turn = 0

    def turn(self) -> None:
        """Do one thing."""
        self._turn += 1
        self._client.send("status")
        if self._turn % 20 == 1:
            self._client.send("notify", 1)
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
        self._client.send(*draw.choice(actions))
        if self._turn % 4 == 0:
            self._client.send("transport/play")


def main(argv: Sequence[str] | None = None) -> int:
    args = _arguments(argv)
    course = Course()
    arguments = ("--model", args.model, "--output", args.output)
    with StageDaemon(args.out, *arguments) as daemon:
        course.first_sound_seconds = daemon.until_playing(READY_SECONDS)
        ear = PcmEar(daemon.event("listening")["publish"])
        ear.start()
        started = time.monotonic()
        _play(course, daemon, Player(args.seed, daemon.client), args.minutes * 60)
        seconds = time.monotonic() - started
        course.heard = ear.heard()
        course.restarts = sum("started again" in line["text"] for line in daemon.lines())
        course.ended_seconds = daemon.end()
        course.exit_code = daemon.process.returncode
    setting = {"model": args.model, "output": args.output, "seed": args.seed}
    report = report_of(setting, course, seconds)
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


def _play(course: Course, daemon: StageDaemon, player: Player, seconds: float) -> None:
    began = time.monotonic()
    next_sample = next_command = began
    while (now := time.monotonic()) < began + seconds and daemon.is_alive:
        if now >= next_command:
            next_command += COMMAND_SECONDS
            player.turn()
        if now >= next_sample:
            next_sample += SAMPLE_SECONDS
            _look(course, daemon.process.pid, now - began)
        for answer in daemon.client.take(0.05):
            _take(course, answer)


def _take(course: Course, answer: Answer) -> None:
    course.answers[answer.address] += 1
    if answer.address == "/fail":
        course.refusals[f"{answer.args[0]}: {str(answer.args[1])[:60]}"] += 1
    elif answer.address == f"{PREFIX}fallback":
        course.fallbacks += int(bool(answer.args[0]))
    elif answer.address == f"{PREFIX}status.reply":
        course.underruns = int(answer.args[7])
        if answer.args[0] == "playing":
            course.steps_per_second.append(float(answer.args[9]))
            course.lead_ms.append(float(answer.args[6]))


def _look(course: Course, pid: int, seconds: float) -> None:
    for name, one in {"control": pid, **parts_of(pid)}.items():
        try:
            pages = int(Path(f"/proc/{one}/statm").read_text().split()[1])
            fds = len(os.listdir(f"/proc/{one}/fd"))
            threads = len(os.listdir(f"/proc/{one}/task"))
        except OSError:  # it has just gone
            continue
        sample = Sample(seconds, pages * os.sysconf("SC_PAGE_SIZE"), fds, threads)
        course.samples.setdefault(name, []).append(sample)


if __name__ == "__main__":
    sys.exit(main())
