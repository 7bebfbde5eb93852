"""The whole way from a command to the sound card, for minutes: is it ever heard that it is hard?

A daemon plays into a JACK server, a performer plays the daemon over OSC by a script, and a listener
records every sample. How many periods the machine itself drops is measured first, with nobody but
the listener: without real-time priority that is not nothing.
"""

from __future__ import annotations

import os
import platform
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from musicgen_rt.evaluate.jack_recording import JackRecording
from musicgen_rt.evaluate.jack_server import PERIOD_FRAMES, JackServer
from musicgen_rt.evaluate.stage_daemon import PREFIX, Answer, StageClient, StageDaemon
from musicgen_rt.evaluate.stage_script import Cue, cues
from musicgen_rt.evaluate.stage_sound import SoundFaults, faults_of, joined

Progress = Callable[[str, int, int], None]

BASELINE_SECONDS = 10.0
_STATUS_SECONDS = 0.5
_TURN_SECONDS = 0.02
# After the last cue, for what comes at the next bar line.
_REST_SECONDS = 3.0
# A stop is heard until the gate has closed, a play from when it has opened.
_STOP_GRACE_SECONDS = 1.0


@dataclass(frozen=True)
class StageSettings:
    """What is played, and for how long."""

    folder: Path
    model: str = "pocket"
    minutes: float = 5.0
    threads: int | None = None
    weights: str = "auto"
    period_frames: int = PERIOD_FRAMES
    baseline_seconds: float = BASELINE_SECONDS


@dataclass
class Performance:
    """What a performance has shown so far. One thread."""

    answers: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    underruns: int = 0
    fallbacks: int = 0
    beats: int = 0
    lead_ms: list[float] = field(default_factory=list)
    steps_per_second: list[float] = field(default_factory=list)
    # The recording's frames between which silence was asked for.
    quiet: list[tuple[int, int]] = field(default_factory=list)

    def take(self, answer: Answer) -> None:
        """Count one message of the daemon."""
        self.answers[answer.address] += 1
        if answer.address == "/fail":
            self.refusals[f"{answer.args[0]}: {str(answer.args[1])[:80]}"] += 1
        elif answer.address == f"{PREFIX}fallback":
            self.fallbacks += int(bool(answer.args[0]))
        elif answer.address == f"{PREFIX}beat":
            self.beats += 1
        elif answer.address == f"{PREFIX}status.reply":
            self.underruns = int(answer.args[7])
            if answer.args[0] == "playing":
                self.lead_ms.append(float(answer.args[6]))
                self.steps_per_second.append(float(answer.args[9]))


def evaluate_stage(settings: StageSettings, progress: Progress) -> dict[str, Any]:
    """Play and judge; the report as JSON, its `complaints` empty if all is well.

    Raises UnsupportedError without jackd or its client library, MusicgenRTError if the daemon or
    the server does not come up.
    """
    seconds = settings.minutes * 60
    with JackServer(period_frames=settings.period_frames) as server:
        baseline_missed = _baseline(server, settings.baseline_seconds, progress)
        arguments = ["--output", "jack", "--model", settings.model, "--weights", settings.weights]
        if settings.threads is not None:
            arguments += ["--threads", str(settings.threads)]
        daemon = StageDaemon(settings.folder, *arguments, environment=server.environment)
        with daemon, JackRecording(server) as recording:
            first_sound_seconds = daemon.until_playing()
            recording.wait_for_sound()
            performance, first_frame = Performance(), recording.end_frame
            missed_before = recording.missed
            _perform(daemon.client, performance, recording, seconds, progress)
            end_frame, missed = recording.end_frame, recording.missed - missed_before
            restarts = sum("started again" in line["text"] for line in daemon.lines())
            ended_seconds = daemon.end()
            code = daemon.process.returncode
        sound = _judged(recording, first_frame, end_frame, performance.quiet)
    return _report(
        settings,
        performance,
        sound,
        {
            "seconds": seconds,
            "heard_seconds": (end_frame - first_frame) / server.rate_hz,
            "first_sound_seconds": first_sound_seconds,
            "missed_periods": missed,
            "baseline_missed_periods": baseline_missed,
            "baseline_seconds": settings.baseline_seconds,
            "restarts": restarts,
            "shutdown_seconds": ended_seconds,
            "exit_code": code,
        },
    )


def _baseline(server: JackServer, seconds: float, progress: Progress) -> int:
    """How many periods are missed while only the listener is there."""
    progress("baseline", 0, 1)
    with JackRecording(server) as recording:
        recording.wait(lambda: recording.end_frame > 0, 30.0, "the server's periods")
        end = recording.end_frame + round(seconds * server.rate_hz)
        before = recording.missed
        recording.wait(lambda: recording.end_frame >= end, 3 * seconds + 30, "the baseline")
        return recording.missed - before


def _perform(
    client: StageClient,
    performance: Performance,
    recording: JackRecording,
    seconds: float,
    progress: Progress,
) -> None:
    """Send the cues in their time and listen to the answers."""
    client.send("notify", 1)
    began, asked = time.monotonic(), 0.0
    waiting = list(cues(seconds))
    stopped_at: int | None = None
    while (now := time.monotonic() - began) < seconds + _REST_SECONDS:
        while waiting and waiting[0].seconds <= now:
            cue = waiting.pop(0)
            stopped_at = _mark_quiet(cue, performance, recording, stopped_at)
            client.send(cue.name, *cue.args)
            performance.sent += 1
        if now >= asked:
            asked += _STATUS_SECONDS
            client.send("status")
            progress("playing", round(now), round(seconds + _REST_SECONDS))
        for answer in client.take(_TURN_SECONDS):
            performance.take(answer)


def _mark_quiet(
    cue: Cue, performance: Performance, recording: JackRecording, stopped_at: int | None
) -> int | None:
    """Note from where to where silence is asked for; where it began, None if it is not now."""
    if cue.name == "transport/stop":
        return recording.end_frame
    if cue.name == "transport/play" and stopped_at is not None:
        grace = round(_STOP_GRACE_SECONDS * recording.rate_hz)
        performance.quiet.append((stopped_at, recording.end_frame + grace))
        return None
    return stopped_at


def _judged(
    recording: JackRecording, first_frame: int, end_frame: int, quiet: list[tuple[int, int]]
) -> SoundFaults:
    """Invariant V of the performance, without the holes that were asked for."""
    found = []
    for stretch in recording.stretches(first_frame):
        samples = stretch.samples[: max(0, end_frame - stretch.frame)]
        if not len(samples):
            continue
        faults = faults_of(samples, recording.rate_hz, recording.period_frames)
        holes = tuple(
            (at, length)
            for at, length in faults.holes
            if not any(a <= stretch.frame + at and stretch.frame + at <= b for a, b in quiet)
        )
        found.append(replace(faults, holes=holes).moved(stretch.frame - first_frame))
    return joined(found)


def _report(
    settings: StageSettings, performance: Performance, sound: SoundFaults, facts: dict[str, Any]
) -> dict[str, Any]:
    """All figures and what is to be complained of."""
    complaints = list(sound.complaints)
    judged_part = sound.seconds / max(facts["heard_seconds"], 1e-9)
    for is_wrong, text in (
        (performance.underruns > 0, f"{performance.underruns} underruns"),
        (
            performance.fallbacks > 0,
            f"{performance.fallbacks} times the last good bars had to loop",
        ),
        (facts["restarts"] > 0, f"{facts['restarts']} restarts"),
        (facts["exit_code"] != 0, f"exit code {facts['exit_code']}"),
        (facts["shutdown_seconds"] > 2, f"the end took {facts['shutdown_seconds']:.1f} s"),
        (judged_part < 0.5, f"only {judged_part:.0%} of it could be recorded in one piece"),
        (performance.refusals.total() > 0, f"{performance.refusals.total()} commands refused"),
    ):
        complaints += [text] if is_wrong else []
    return {
        "model": settings.model,
        "period_frames": settings.period_frames,
        "machine": machine_name(),
        **facts,
        "complaints": complaints,
        "commands": performance.sent,
        "answers": dict(performance.answers.most_common()),
        "refusals": dict(performance.refusals.most_common(20)),
        "beats": performance.beats,
        "underruns": performance.underruns,
        "fallbacks": performance.fallbacks,
        "lead_ms": _spread(performance.lead_ms),
        "steps_per_second": _spread(performance.steps_per_second),
        "sound": sound.to_json(),
    }


def _spread(values: list[float]) -> dict[str, float]:
    ordered = np.array(values or [0.0])
    return {"min": float(ordered.min()), "median": float(np.median(ordered))}


def machine_name() -> str:
    """The processors that this runs on, in words."""
    return f"{platform.machine()}, {os.cpu_count()} processors"
