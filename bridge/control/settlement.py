"""The answers of child processes become the replies that clients are owed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bridge.control.outcome import Done, Outcome
from bridge.control.owed import ANSWER_SECONDS, Owed
from bridge.control.position import Position

if TYPE_CHECKING:
    from bridge.control.session import Session

MAX_REASON_CHARS = 300


def settle(
    session: Session,
    message: Mapping[str, Any],
    position: Position,
    now_ns: int,
    outcome: Outcome,
) -> None:
    """Take `applied` or `failed` and tell whoever waits for it."""
    owed = _take(session, message["id"], now_ns, outcome)
    if owed is None:
        return
    if message["type"] == "failed":
        reason = str(message.get("reason", "it gave no reason"))[:MAX_REASON_CHARS]
        _refuse(session, owed, reason, outcome)
    else:
        _answer(session, owed, message, position, now_ns, outcome)
    tell_synced(session, outcome)


def fail_child(session: Session, child: str, reason: str, outcome: Outcome) -> None:
    """A child has gone: nothing that it owes will be answered. State stays as it was asked."""
    for owed in session.owed.take_child(child):
        for client in owed.askers:
            outcome.reply(client, "/fail", owed.address, reason[:MAX_REASON_CHARS])
    tell_synced(session, outcome)


def fail_overdue(session: Session, now_ns: int, outcome: Outcome) -> None:
    """What should have been answered long ago will not be waited for."""
    for identity in session.owed.overdue(now_ns):
        owed = _take(session, identity, now_ns, outcome)
        if owed is not None:
            reason = f"no answer from the {owed.child} in {ANSWER_SECONDS} s: it may be stuck"
            for client in owed.askers:
                outcome.reply(client, "/fail", owed.address, reason)


def tell_synced(session: Session, outcome: Outcome) -> None:
    """Answer each `/mgrt/sync` that has nothing left to wait for."""
    for client, value in session.owed.take_synced():
        outcome.reply(client, "/mgrt/synced", value)


def _take(session: Session, identity: int, now_ns: int, outcome: Outcome) -> Owed | None:
    owed, following = session.owed.settle(identity, now_ns)
    if following is not None:
        outbox = outcome.engine if following.child == "engine" else outcome.playout
        outbox.append(following.message)
    return owed


def _refuse(session: Session, owed: Owed, reason: str, outcome: Outcome) -> None:
    for restore in owed.restores:
        # Unless somebody has asked for another value since, or it has become another.
        is_asked = session.owed.rebase(restore.key, restore.before)
        if not is_asked and session.state[restore.key] == restore.new:
            session.state.set(restore.key, restore.before)
    for client in owed.askers:
        outcome.reply(client, "/fail", owed.address, reason)


def _answer(
    session: Session,
    owed: Owed,
    message: Mapping[str, Any],
    position: Position,
    now_ns: int,
    outcome: Outcome,
) -> None:
    frame = _heard_frame(message, position)
    if owed.is_heard_at_once and position.is_moving and message.get("frame") is not None:
        heard_ns = position.time_of_frame_ns(frame, now_ns)
        session.latency.add(max(0, heard_ns - owed.asked_ns) / 10**6)
    beat = session.clock.timeline.beat_at(frame)
    outcome.done.append(Done(beat, owed.address, owed.args))
    for client, count in owed.askers.items():
        values = (beat, count) if owed.answer is None else owed.answer(message)
        address = owed.reply_address
        if address == "/done":
            values = (owed.address, *values)
        outcome.reply(client, address, *values)


def _heard_frame(message: Mapping[str, Any], position: Position) -> float:
    """From where on it is heard: the engine answers with a frame, the playout with a sample."""
    if message.get("frame") is not None:
        return float(message["frame"])
    if message.get("sample") is not None:
        return float(message["sample"]) / position.hop_samples
    return float(position.commit_frame)
