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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from musicgen_rt.errors import MusicgenRTError, ParameterError, UnsupportedError
from musicgen_rt.evaluate.jack_recording import JackRecording
from musicgen_rt.evaluate.jack_server import JackServer
from musicgen_rt.evaluate.stage_daemon import StageClient, StageDaemon
from musicgen_rt.evaluate.sync_host import BEATS_PER_BAR
from musicgen_rt.evaluate.sync_judge import Judge, Marks, figures_of

MAX_ERROR_MS = 3.0

_LOCK_SECONDS = 60.0
_LOCKED_MS = 1.0
_LOCKED_LOOKS = 10
# Where /mgrt/status says whether the host is followed, and how far its beats are ahead (ms).
_STATUS_LOCKED, _STATUS_ERROR = 12, 15
# The kinds in turn: what ends comes before what begins again.
_KINDS = ("mute", "unmute", "prompt", "stop", "play")
_FIRST_KINDS = (0, 2, 3)
_SETTLE_SECONDS = 0.6
# A JACK server that breaks down is started again, and what is missing is played then.
_MOST_RUNS = 4
# Marks that fall beside a missed period are tried again, up to so many tries a mark.
_MOST_TRIES = 3


# Told a label, how many are done, and of how many.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class SyncCondition:
    """One device and one tempo; `events` marks, of which the first is `_KINDS[first_kind]`."""

    bpm: float = 120.0
    rate_hz: int = 48_000
    period_frames: int = 512
    events: int = 20
    first_kind: int = 0


def spread(
    bpms: Sequence[float], rates_hz: Sequence[int], periods: Sequence[int], events: int
) -> list[SyncCondition]:
    """All conditions with `events` marks between them: more where bars are short, all kinds alike.

    Raises ParameterError if there are fewer marks than conditions.
    """
    cards = [(rate_hz, period) for rate_hz in rates_hz for period in periods]
    if events < len(cards) * len(bpms):
        raise ParameterError(
            f"{events} marks over {len(cards) * len(bpms)} conditions: expected one each at least"
        )
    conditions = []
    left, weight_left = events, sum(bpms) * len(cards)
    for number, (bpm, card) in enumerate((bpm, card) for bpm in sorted(bpms) for card in cards):
        count = max(1, round(left * bpm / weight_left))
        left, weight_left = left - count, weight_left - bpm
        first = _FIRST_KINDS[number % len(_FIRST_KINDS)]
        conditions.append(SyncCondition(bpm, *card, count, first))
    return conditions


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
    """Play one condition, again from where it broke off where JACK breaks down.

    Where it does so each time, or the daemon never finds the beats, marks are missing in the report
    and `faults` say why. Raises UnsupportedError where there is no JACK.
    """
    marks, missed = Marks(), 0
    faults: list[str] = []
    while True:
        try:
            run_folder = folder / str(len(faults))
            missed += _one_run(condition, run_folder, marks, progress)
            return _report(condition, marks, missed, faults)
        except UnsupportedError:
            raise
        except MusicgenRTError as error:
            faults.append(str(error))
            if len(faults) == _MOST_RUNS:
                return _report(condition, marks, missed, faults)


def _one_run(condition: SyncCondition, folder: Path, marks: Marks, progress: Progress) -> int:
    """One life of the server, until all marks are there; the periods that were missed."""
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
                _play(daemon.client, host, recording, condition, marks, progress)
                return recording.missed - missed_before
        finally:
            host.close()


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
    marks: Marks,
    progress: Progress,
) -> None:
    dice = random.Random(7 + marks.tried)
    bar_seconds = host.bar_frames / condition.rate_hz
    judge = Judge(
        recording,
        lambda frame, lines: host.error_ms(frame, condition.rate_hz, lines),
        host.bar_frames,
    )
    pitch, number = 0, condition.first_kind
    while marks.calm < condition.events and marks.tried < _MOST_TRIES * condition.events:
        kind = _KINDS[number % len(_KINDS)]
        time.sleep(dice.uniform(0.0, bar_seconds))
        first_frame = recording.end_frame
        pitch += kind == "prompt"
        answer = client.ask(*_COMMANDS[kind], seconds=3 * bar_seconds + 10)
        if answer is None or answer.address == "/fail":
            raise MusicgenRTError(f"{kind} was not done: {answer}")
        time.sleep(bar_seconds + _SETTLE_SECONDS)
        judge.judge(kind, first_frame, pitch % 2, marks)
        number += 1
        progress(f"{condition.bpm:g} BPM", marks.calm, condition.events)


def _report(
    condition: SyncCondition, marks: Marks, missed: int, faults: Sequence[str]
) -> dict[str, Any]:
    return {
        "bpm": condition.bpm,
        "rate_hz": condition.rate_hz,
        "period_frames": condition.period_frames,
        "asked_marks": condition.events,
        "missed_periods": missed,
        "faults": list(faults),
        **figures_of(marks),
    }


_COMMANDS: dict[str, tuple[Any, ...]] = {
    "mute": ("audio/mute", 1, "bar"),
    "unmute": ("audio/mute", 0, "bar"),
    "prompt": ("prompt/set", 0, "other", 1.0, "bar"),
    "stop": ("transport/stop", "bar"),
    "play": ("transport/play", "bar"),
}
