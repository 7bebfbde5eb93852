"""What the playout's messages mean to the session."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.control.child_state import LOWEST_DB
from bridge.control.outcome import Outcome
from bridge.control.position import Position
from bridge.control.settlement import settle

if TYPE_CHECKING:
    from bridge.control.session import Session

Message = Mapping[str, Any]
_MAX_TEXT_CHARS = 300


@dataclass(frozen=True)
class Recording:
    """A recording under way."""

    path: Path
    began_ns: int

    @property
    def name(self) -> str:
        """Its file's."""
        return self.path.name


def take_playout_message(
    session: Session, message: Message, position: Position, now_ns: int, outcome: Outcome
) -> None:
    """Take one message; unknown types are a newer playout's, and passed over."""
    kind = message["type"]
    if kind in ("applied", "failed"):
        settle(session, message, position, now_ns, outcome)
    elif kind == "recording":
        _recording(session, message, now_ns, outcome)
    elif kind == "ready":
        _ready(session, message, position, outcome)
    elif kind in _REST:
        _REST[kind](session, message, outcome)


def take_pcm(
    session: Session, message: Message, payload: bytes, position: Position, outcome: Outcome
) -> None:
    """Audio for subscribers, with the beat of its first sample."""
    frame = message["sample"] / position.hop_samples
    timeline = session.clock.timeline
    header = {key: value for key, value in message.items() if key not in ("type", "seq")}
    header |= {
        "sequence": message["seq"],
        "beat": timeline.beat_at(frame),
        "bpm": timeline.bpm_at(frame),
    }
    outcome.pcm.append((header, payload))


def _recording(session: Session, message: Message, now_ns: int, outcome: Outcome) -> None:
    is_on = bool(message.get("is_on"))
    path = Path(str(message["path"]))
    if message.get("error"):
        outcome.event("/mgrt/error", "recording", str(message["error"])[:_MAX_TEXT_CHARS])
        is_on = False
    session.set_recording(Recording(path, now_ns) if is_on else None)


def _ready(session: Session, message: Message, position: Position, outcome: Outcome) -> None:
    """It plays, for the first time or through another device."""
    playout = session.playout
    if not playout.is_ready:
        playout.is_ready = True
        session.send_changes_to_playout(position, outcome)
    playout.wish = message.get("wish", playout.wish)
    device = str(message.get("device") or message.get("output") or "")
    session.state.set("device", device)
    session.clock.output_latency_ms = session.config.output_latencies_ms.get(device, 0.0)


def _heartbeat(session: Session, message: Message, outcome: Outcome) -> None:
    playout = session.playout
    playout.peak_db = _level(message.get("peak_db"))
    playout.rms_db = _level(message.get("rms_db"))


def _state(session: Session, message: Message, outcome: Outcome) -> None:
    is_standing = message["state"] == "stopped"
    session.playout.standing_sample = int(message["sample"]) if is_standing else None


def _level(value: object) -> float:
    return max(LOWEST_DB, float(value)) if isinstance(value, int | float) else LOWEST_DB


def _fallback(session: Session, message: Message, outcome: Outcome) -> None:
    session.playout.is_fallback = bool(message["is_on"])
    outcome.event("/mgrt/fallback", session.playout.is_fallback)


def _underrun(session: Session, message: Message, outcome: Outcome) -> None:
    session.playout.underruns = int(message["count"])
    outcome.event("/mgrt/underrun", session.underruns)


def _warning(session: Session, message: Message, outcome: Outcome) -> None:
    outcome.event("/mgrt/error", "output", str(message.get("text", ""))[:_MAX_TEXT_CHARS])


_REST: dict[str, Callable[[Session, Message, Outcome], None]] = {
    "heartbeat": _heartbeat,
    "state": _state,
    "fallback": _fallback,
    "underrun": _underrun,
    "device_lost": _warning,
    "warning": _warning,
}
