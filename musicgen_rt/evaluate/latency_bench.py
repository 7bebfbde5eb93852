"""A daemon, its listener and a bank whose music is known: commands are timed against that music."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from musicgen_rt.errors import MusicgenRTError
from musicgen_rt.evaluate.departure import MIN_LIKENESS, Signal, departure, low_passed, placed
from musicgen_rt.evaluate.jack_recording import JackRecording
from musicgen_rt.evaluate.stage_daemon import PREFIX, StageClient

# When commands are sent, after the bar line at which a bank begins.
SENT_SECONDS = (0.8, 2.4)

_BANK = 1
# Bars made before the bank is saved, and how much of it is known afterwards.
_FIRST_BARS = 5
_KNOWN_SECONDS = 4.5
# After the bar line at which a bank begins: what tells its place.
_TEMPLATE_SECONDS = (0.1, 0.5)
_HEARD_SECONDS = 2.0
_SEARCH_SECONDS = 0.25
_BEATS_PER_BAR = 4
_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class TrialResult:
    """One trial: `heard_ms` None if nothing changed, spoilt if JACK missed a period."""

    heard_ms: float | None = None
    answered_ms: float | None = None
    is_spoilt: bool = False


class Bench:
    """One daemon and its listener, with a bank whose music is known. One thread."""

    def __init__(self, client: StageClient, recording: JackRecording) -> None:
        self._client = client
        self._recording = recording
        self._rate_hz = recording.rate_hz
        self._known: Signal = np.zeros(0)

    def prepare(self) -> None:
        """Make some bars, keep them, and learn what the bank sounds like."""
        self._ask("notify", 1)
        self._ask("melody/mode", "follow")
        self._until_bar(_FIRST_BARS)
        self._ask("bank/save", _BANK)
        # The first load reads a file and fills a cache; what is learnt is a later one.
        self._load()
        line = self._load()
        sound = self._heard(line, line + _KNOWN_SECONDS)
        if sound is None:
            raise MusicgenRTError(
                "JACK missed periods while the bank was learnt: a quieter machine"
            )
        self._known = low_passed(sound, self._rate_hz)

    def trial(
        self,
        command: tuple[Any, ...] | None,
        after_seconds: float,
        undone_by: tuple[Any, ...] | None = None,
    ) -> TrialResult:
        """Load the bank, send a command so long after its bar line, and listen.

        `undone_by` is sent when it was heard, for what a bank does not bring back: a held key.
        """
        result = self._trial(command, after_seconds)
        if undone_by is not None:
            self._ask(*undone_by)
        return result

    def _trial(self, command: tuple[Any, ...] | None, after_seconds: float) -> TrialResult:
        line = self._load()
        time.sleep(max(0.0, line + after_seconds - time.monotonic()))
        sent, answered = time.monotonic(), None
        if command is not None:
            sent, answered = self._timed(command)
        sound = self._heard(line - _SEARCH_SECONDS, sent + _HEARD_SECONDS)
        if sound is None:
            return TrialResult(is_spoilt=True)
        at = self._departed(low_passed(sound, self._rate_hz))
        if at is None:
            return TrialResult(answered_ms=answered)
        frame = self._recording.frame_at(line - _SEARCH_SECONDS) + at
        changed = self._recording.monotonic_seconds(frame)[0]
        return TrialResult((changed - sent) * 1000, answered)

    def mute(self) -> float | None:
        """Mute; after how many ms nothing is heard. Unmutes again. None if JACK missed a period."""
        self._recording.wait_for_sound()
        sent, _ = self._timed(("audio/mute", 1))
        sound = self._heard(sent, sent + 0.6)
        self._ask("audio/mute", 0)
        if sound is None:
            return None
        loud = np.flatnonzero(np.abs(sound) > 1e-4)
        if not len(loud) or loud[-1] >= len(sound) - 100:
            return None
        frame = self._recording.frame_at(sent) + int(loud[-1])
        return (self._recording.monotonic_seconds(frame)[0] - sent) * 1000

    def _departed(self, sound: Signal) -> int | None:
        """The sample at which a recording leaves the known music; 0 if it never was that."""
        first, end = (round(t * self._rate_hz) for t in _TEMPLATE_SECONDS)
        search = end + 2 * round(_SEARCH_SECONDS * self._rate_hz)
        at, likeness = placed(self._known[first:end], sound[:search])
        if likeness < MIN_LIKENESS:
            return 0
        found = departure(self._known[first:], sound[at:], self._rate_hz)
        return None if found is None else at + found

    def _load(self) -> float:
        """Load the bank; when its bar line was told (monotonic seconds)."""
        beat = float(self._ask("bank/load", _BANK)[1])
        return self._until_bar(round(beat) // _BEATS_PER_BAR + 1)

    def _until_bar(self, bar: int) -> float:
        answer = self._client.wait(
            lambda one: one.address == f"{PREFIX}beat" and one.args[:2] >= (bar, 1),
            _PATIENCE_SECONDS,
        )
        if answer is None:
            raise MusicgenRTError(f"bar {bar} did not come within {_PATIENCE_SECONDS:.0f} s")
        return answer.seconds

    def _timed(self, command: tuple[Any, ...]) -> tuple[float, float]:
        """Send a command; when, and after how many ms it was answered."""
        self._client.take()
        began = time.monotonic()
        self._ask(*command)
        return began, (time.monotonic() - began) * 1000

    def _ask(self, name: str, *args: Any) -> tuple[Any, ...]:
        answer = self._client.ask(name, *args, seconds=_PATIENCE_SECONDS)
        if answer is None or answer.address == "/fail":
            raise MusicgenRTError(f"{name} was answered {answer and answer.args}: expected /done")
        return answer.args

    def _heard(self, first_seconds: float, end_seconds: float) -> Signal | None:
        """What was heard between two moments, once it was; None if JACK missed some of it."""
        first, end = (self._recording.frame_at(t) for t in (first_seconds, end_seconds))
        self._recording.wait(
            lambda: self._recording.end_frame >= end, _PATIENCE_SECONDS, "what comes next"
        )
        for frame, samples in self._recording.stretches(first - self._recording.period_frames):
            if frame <= first and frame + len(samples) >= end:
                return samples[first - frame : end - frame, 0].astype(np.float64)
        return None
