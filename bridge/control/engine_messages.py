"""What the engine's messages mean to the session."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from bridge.control.child_state import BeatsHeard
from bridge.control.outcome import Outcome
from bridge.control.position import Position
from bridge.control.settlement import settle

if TYPE_CHECKING:
    from bridge.control.session import Session

Message = Mapping[str, Any]
MAX_TEXT_CHARS = 300


def take_engine_message(
    session: Session, message: Message, position: Position, now_ns: int, outcome: Outcome
) -> None:
    """Take one message; unknown types are a newer engine's, and passed over."""
    kind = message["type"]
    if kind in ("applied", "failed"):
        settle(session, message, position, now_ns, outcome)
    elif kind == "ready":
        _ready(session, message, position, outcome)
    elif kind == "chunk":
        _chunk(session, message, position, outcome)
    elif kind in _REST:
        _REST[kind](session, message, outcome)


def _ready(session: Session, message: Message, position: Position, outcome: Outcome) -> None:
    engine = session.engine
    engine.is_ready = engine.was_ready = True
    engine.failure, engine.progress = None, 1.0
    rate_hz = Fraction(message["sampling_rate_hz"], message["hop_samples"])
    if rate_hz != session.clock.timeline.frame_rate_hz and not position.reader_sample:
        session.clock.begin(rate_hz)
    for name, value in message.get("params", {}).items():
        if f"param/{name}" in session.state:
            session.state.set_default(f"param/{name}", value)
    for name in message.get("attributes", ()):
        if f"attr/{name}" not in session.state:
            session.state.set_default(f"attr/{name}", "free")
    if session.state["freeze/is_on"]:  # the loop has ended with the engine that played it
        session.state.set("freeze/is_on", False)
    session.send_changes_since_start(position, outcome)
    model = str(message.get("model", session.config.model))
    session.model = model
    outcome.event("/mgrt/startup", model, float(message.get("load_seconds", 0.0)))


def _chunk(session: Session, message: Message, position: Position, outcome: Outcome) -> None:
    hop = position.hop_samples
    first, end = message["first_sample"] / hop, message["end_sample"] / hop
    bar, _ = session.clock.place_at(end)
    outcome.event("/mgrt/chunk", bar, position.lead_ms, session.clock.bars_between(first, end))


def _loading(session: Session, message: Message, outcome: Outcome) -> None:
    engine = session.engine
    engine.failure = None
    engine.progress = float(message["fraction"])
    engine.progress_text = str(message.get("text", ""))[:MAX_TEXT_CHARS]
    outcome.event("/mgrt/progress", engine.progress, engine.progress_text)


def _heartbeat(session: Session, message: Message, outcome: Outcome) -> None:
    session.engine.steps_per_second = float(message.get("steps_per_second", 0.0))
    heard = message.get("beats")
    if heard is None:
        return
    beats = BeatsHeard(heard["state"], heard["confidence"], heard["error_ms"] or 0.0)
    if beats.differs(session.engine.told_beats):
        session.engine.told_beats = beats
        outcome.event("/mgrt/beats", beats.lock, beats.confidence, beats.late_ms)
    session.engine.beats = beats


def _state(session: Session, message: Message, outcome: Outcome) -> None:
    """Controls that have changed otherwise than by a command: undo, a bank, panic.

    What was asked for since is still on its way to the engine, and holds.
    """
    changes: dict[str, Any] = {}
    for group, prefix in (
        ("prompts", "prompt/"),
        ("weights", "weight/"),
        ("params", "param/"),
        ("attributes", "attr/"),
        ("melody", "melody/"),
    ):
        changes |= {f"{prefix}{name}": value for name, value in message.get(group, {}).items()}
    if "negative" in message:
        changes["negative"] = message["negative"]
    if "frozen" in message:
        changes["freeze/is_on"] = bool(message["frozen"])
    for key, value in changes.items():
        is_news = key in session.state and session.state[key] != value
        if is_news and not session.owed.rebase(key, value):
            session.state.set(key, value)


def _song(session: Session, message: Message, outcome: Outcome) -> None:
    """A section begins, or the song is over. It moves the clock unless a host does."""
    section, frame = message["section"], int(message["frame"])
    clock, state = session.clock, session.state
    if "bpm" in message and clock.source.name == "internal":
        beats = int(message["beats_per_bar"])
        clock.set_signature(clock.source.signature(beats), frame)
        bpm = float(message["bpm"])
        clock.set_tempo(bpm, frame, clock.ramp_frames(bpm, frame, message["transition_beats"]))
        session.send_timeline(frame, outcome)
        state.set("clock/bpm", bpm)
        state.set("clock/beats", beats)
    state.set("song/section", section)
    beat = clock.timeline.beat_at(frame)
    place = (message["number"], beat, message["bars"]) if section is not None else (0, beat, 0)
    outcome.event("/mgrt/section", section or "", *place)


def _error(session: Session, message: Message, outcome: Outcome) -> None:
    where, text = str(message.get("where", "engine")), str(message.get("text", ""))
    if where == "load":
        session.engine.failure = text[:MAX_TEXT_CHARS]
    outcome.event("/mgrt/error", where[:64], text[:MAX_TEXT_CHARS])


def _suggestion(session: Session, message: Message, outcome: Outcome) -> None:
    outcome.event("/mgrt/suggestion/bpm", float(message["bpm"]))


_REST: dict[str, Callable[[Session, Message, Outcome], None]] = {
    "loading": _loading,
    "heartbeat": _heartbeat,
    "state": _state,
    "song": _song,
    "error": _error,
    "suggestion": _suggestion,
}
