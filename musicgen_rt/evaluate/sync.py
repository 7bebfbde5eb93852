"""How exactly the daemon keeps to a host: marks on bar lines in a recording, and the host's bars.

A JACK server with the dummy driver, a timebase master that is no part of the player, the daemon
with an engine of marks following it, and a recorder. Commands with `when` bar are sent at random
moments; where each is heard is found in the recording, and compared with the nearest bar line of
the host's transport. JACK numbers the samples of all its clients alike, so no clock of the system
takes part.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from musicgen_rt.errors import MusicgenRTError
from musicgen_rt.evaluate import sync_marks
from musicgen_rt.evaluate.jack_recording import JackRecording
from musicgen_rt.evaluate.jack_server import JackServer
from musicgen_rt.evaluate.stage_daemon import StageClient, StageDaemon
from musicgen_rt.evaluate.sync_host import BEATS_PER_BAR

MAX_ERROR_MS = 3.0

_LOCK_SECONDS = 60.0
_LOCKED_MS = 1.0
_LOCKED_LOOKS = 10
# Where /mgrt/status says whether the host is followed, and how far its beats are ahead (ms).
_STATUS_LOCKED, _STATUS_ERROR = 12, 15
# The kinds in turn: what ends comes before what begins again.
_KINDS = ("mute", "unmute", "prompt", "stop", "play")
_SETTLE_SECONDS = 0.6


# Told a label, how many are done, and of how many.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class SyncCondition:
    """One device and one tempo."""

    bpm: float = 120.0
    rate_hz: int = 48_000
    period_frames: int = 512
    events: int = 20


@dataclass
class Marks:
    """Errors in milliseconds by kind; positive is late. `lost` marks could not be judged."""

    errors_ms: dict[str, list[float]] = field(default_factory=dict)
    beats_ms: list[float] = field(default_factory=list)
    lost: int = 0

    def add(self, kind: str, error_ms: float) -> None:
        self.errors_ms.setdefault(kind, []).append(error_ms)


class Host:
    """The timebase master's process, and where its bars lie in JACK's frames."""

    def __init__(self, server: JackServer, bpm: float) -> None:
        self.bar_frames = server.rate_hz * 60 * BEATS_PER_BAR / bpm
        self._zero_frame: int | None = None
        self._process = subprocess.Popen(
            [sys.executable, "-m", "musicgen_rt.evaluate.sync_host", server.name, str(bpm)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def until_rolling(self) -> None:
        """Wait for the transport. Raises MusicgenRTError if it does not roll."""
        deadline = time.monotonic() + _LOCK_SECONDS
        while self._zero_frame is None:
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise MusicgenRTError(
                    "the host's transport does not roll: is JACK-Client installed?"
                )
            time.sleep(0.05)

    def error_ms(self, frame: float, rate_hz: int, lines_a_bar: int = 1) -> float:
        """How late a frame is against the nearest line."""
        assert self._zero_frame is not None
        step = self.bar_frames / lines_a_bar
        apart = (frame - self._zero_frame + step / 2) % step - step / 2
        return apart * 1000 / rate_hz

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._zero_frame = json.loads(line)["zero_frame"]


def evaluate_sync(condition: SyncCondition, folder: Path, progress: Progress) -> dict[str, Any]:
    """Play one condition. Raises MusicgenRTError where the daemon does not find the beats."""
    with JackServer(condition.rate_hz, condition.period_frames) as server:
        host = Host(server, condition.bpm)
        daemon = StageDaemon(
            folder,
            "--output",
            "jack",
            environment=server.environment,
            program=("bridge.stand_in", "musicgen_rt.evaluate.sync_engine"),
        )
        try:
            with daemon, JackRecording(server) as recording:
                host.until_rolling()
                daemon.until_playing()
                recording.wait_for_sound()
                _until_locked(daemon.client)
                missed_before = recording.missed
                marks = _play(daemon.client, host, recording, condition, progress)
                missed = recording.missed - missed_before
        finally:
            host.close()
    return _report(condition, marks, missed)


def _until_locked(client: StageClient) -> None:
    client.ask("clock/source", "jack")
    deadline, locked = time.monotonic() + _LOCK_SECONDS, 0
    while locked < _LOCKED_LOOKS:
        client.send("status")
        answer = client.wait(lambda one: one.address == "/mgrt/status.reply")
        if answer is not None:
            is_near = abs(answer.args[_STATUS_ERROR]) < _LOCKED_MS
            locked = locked + 1 if answer.args[_STATUS_LOCKED] and is_near else 0
        if time.monotonic() > deadline:
            told = None if answer is None else answer.args
            raise MusicgenRTError(f"the host's beats were not found in {_LOCK_SECONDS:g} s: {told}")
        time.sleep(0.1)


def _play(
    client: StageClient,
    host: Host,
    recording: JackRecording,
    condition: SyncCondition,
    progress: Progress,
) -> Marks:
    marks, dice = Marks(), random.Random(7)
    bar_seconds = host.bar_frames / condition.rate_hz
    pitch = 0
    for number in range(condition.events):
        kind = _KINDS[number % len(_KINDS)]
        time.sleep(dice.uniform(0.0, bar_seconds))
        first_frame = recording.end_frame
        pitch += kind == "prompt"
        answer = client.ask(*_COMMANDS[kind], seconds=3 * bar_seconds + 10)
        if answer is None or answer.address == "/fail":
            raise MusicgenRTError(f"{kind} was not done: {answer}")
        time.sleep(bar_seconds + _SETTLE_SECONDS)
        _judge(kind, host, recording, first_frame, pitch % 2, marks)
        progress(f"{condition.bpm:g} BPM", number + 1, condition.events)
    return marks


_COMMANDS: dict[str, tuple[Any, ...]] = {
    "mute": ("audio/mute", 1, "bar"),
    "unmute": ("audio/mute", 0, "bar"),
    "prompt": ("prompt/set", 0, "other", 1.0, "bar"),
    "stop": ("transport/stop", "bar"),
    "play": ("transport/play", "bar"),
}


def _judge(
    kind: str, host: Host, recording: JackRecording, first_frame: int, pitch: int, marks: Marks
) -> None:
    """Find the mark in what was heard since; what a missed period spoilt is not judged."""
    found = False
    if kind == "prompt":  # the click before it is one of the old ones
        first_frame -= round(1.1 * host.bar_frames / BEATS_PER_BAR)
    for stretch in recording.stretches(first_frame):
        samples, rate_hz = stretch.samples[:, 0], recording.rate_hz
        at = _FINDERS[kind](samples, rate_hz, pitch)
        if at is not None:
            marks.add(kind, host.error_ms(stretch.frame + at, rate_hz))
            found = True
        for click in sync_marks.clicks(samples, rate_hz):
            error_ms = host.error_ms(stretch.frame + click, rate_hz, BEATS_PER_BAR)
            marks.beats_ms.append(error_ms)
        if found:
            return
    marks.lost += 1


def _prompt(samples: NDArray[np.float32], rate_hz: int, pitch: int) -> float | None:
    """The first click of the new pitch, if one of the old comes before it."""
    heard = sync_marks.clicks(samples, rate_hz)
    pitches = [sync_marks.click_pitch(samples, at, rate_hz) for at in heard]
    for before, at, new in zip(pitches, heard[1:], pitches[1:], strict=False):
        if before != pitch and new == pitch:
            return float(at)
    return None


_FINDERS: dict[str, Callable[[NDArray[np.float32], int, int], float | None]] = {
    "mute": lambda samples, rate_hz, _: sync_marks.mute(samples, rate_hz, is_on=True),
    "unmute": lambda samples, rate_hz, _: sync_marks.mute(samples, rate_hz, is_on=False),
    "prompt": _prompt,
    "stop": lambda samples, rate_hz, _: sync_marks.last_sound(samples, rate_hz),
    "play": lambda samples, rate_hz, _: sync_marks.first_sound(samples, rate_hz),
}


def _report(condition: SyncCondition, marks: Marks, missed: int) -> dict[str, Any]:
    every = [one for errors in marks.errors_ms.values() for one in errors]
    return {
        "bpm": condition.bpm,
        "rate_hz": condition.rate_hz,
        "period_frames": condition.period_frames,
        "marks": len(every),
        "lost_marks": marks.lost,
        "missed_periods": missed,
        **_figures(every),
        "kinds": {kind: _figures(errors) for kind, errors in marks.errors_ms.items()},
        "beats": {"count": len(marks.beats_ms), **_figures(marks.beats_ms)},
    }


def _figures(errors_ms: list[float]) -> dict[str, float]:
    """Median of the signed errors; 95 % and the worst of their sizes."""
    if not errors_ms:
        return {}
    sizes = np.abs(errors_ms)
    return {
        "median_ms": round(float(np.median(errors_ms)), 3),
        "p95_ms": round(float(np.percentile(sizes, 95)), 3),
        "worst_ms": round(float(sizes.max()), 3),
    }
