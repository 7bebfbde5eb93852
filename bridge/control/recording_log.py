"""The event log of a recording: what was asked and what happened, beside the sound.

One JSON object a line. The first says where the session stands: model, beat, tempo and all state.
Each other one has the `beat` of the session, the `seconds` since the recording began, and either a
`command` that was carried out, with the beat from which it is heard, or an `event`; both as the
arrays that ZeroMQ carries. Written by a thread of its own, and nobody waits for a slow disk.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.control.outcome import Outcome
from bridge.control.playout_messages import Recording
from bridge.control.position import SECOND_NS, Position
from bridge.log import LineWriter

if TYPE_CHECKING:
    from bridge.control.session import Session

SUFFIX = ".jsonl"
# What comes all the time and tells nothing that the sound does not.
_CHATTER = frozenset(
    f"/mgrt/{name}" for name in ("beat", "chunk", "heartbeat", "latency", "progress", "clock")
)


class RecordingLog:
    """Writes the log of the recording that is under way, if one is. [control]"""

    def __init__(self) -> None:
        self._recording: Recording | None = None
        self._writer: LineWriter | None = None

    def take(
        self,
        outcome: Outcome,
        session: Session,
        position_now: Callable[[], Position],
        now_ns: int,
    ) -> None:
        """Note what follows from a request, a message or a tick."""
        if session.recording is not self._recording:
            self._change(session, position_now(), now_ns, outcome)
        recording = self._recording
        if recording is None or self._writer is None:
            return
        seconds = round((now_ns - recording.began_ns) / SECOND_NS, 3)
        for done in outcome.done:
            self._put(seconds, done.beat, "command", done.address, done.args)
        events = [one for one in outcome.events if one.address not in _CHATTER]
        if events:
            beat = session.timeline.beat_at(position_now().heard_frame(now_ns))
            for event in events:
                self._put(seconds, beat, "event", event.address, event.args)

    def _change(self, session: Session, position: Position, now_ns: int, outcome: Outcome) -> None:
        if self._writer is not None:
            self._writer.close(0.0)  # the rest is written while nobody waits
        self._recording, self._writer = session.recording, None
        if self._recording is None:
            return
        path = log_path(self._recording.path)
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0)
        try:
            descriptor = os.open(path, flags, 0o644)
        except OSError as error:
            text = f"{path.name}, the log of events, cannot be written: {error.strerror}"
            outcome.event("/mgrt/error", "recording", text)
            return
        self._writer = LineWriter(
            os.fdopen(descriptor, "w", encoding="utf-8"), name="recording-log", closes=True
        )
        frame, state = position.heard_frame(now_ns), session.state.all_messages()
        beginning = {
            "recording": self._recording.name,
            "model": session.model,
            "beat": round(session.timeline.beat_at(frame), 6),
            "bpm": session.timeline.bpm_at(frame),
            "state": [_array(one.address, one.args) for one in state],
        }
        self._writer.put(_line(beginning))

    def _put(
        self, seconds: float, beat: float, kind: str, address: str, args: tuple[Any, ...]
    ) -> None:
        if self._writer is not None:
            line = {"seconds": seconds, "beat": round(beat, 6), kind: _array(address, args)}
            self._writer.put(_line(line))


def log_path(sound: Path) -> Path:
    """Where the log of a recording is written."""
    return sound.with_name(sound.name + SUFFIX)


def _array(address: str, args: tuple[Any, ...]) -> list[Any]:
    return [address, *(int(value) if isinstance(value, bool) else value for value in args)]


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), default=str) + "\n"
