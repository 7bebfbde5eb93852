"""What the session says by itself as time goes on: beats, changes of state, heartbeats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.control.beat_counter import BeatCounter
from bridge.control.message import Reply
from bridge.control.outcome import Outcome
from bridge.control.position import SECOND_NS, Position
from bridge.control.settlement import fail_overdue

if TYPE_CHECKING:
    from bridge.control.session import Session

# Of a control that is moved all the time, so many values a second are told.
_STATE_GAP_NS = SECOND_NS // 50
_LATENCY_GAP_NS = 5 * SECOND_NS


class Pulse:
    """Remembers when each thing was last said. [control]"""

    def __init__(self) -> None:
        self._beats = BeatCounter()
        self._due_ns: dict[str, int] = {}

    def tick(self, session: Session, position: Position, now_ns: int, outcome: Outcome) -> None:
        """Say what is due."""
        if position.is_moving:
            beat = self._beats.event_at(position.heard_frame(now_ns), session.clock)
            if beat is not None:
                outcome.events.append(beat)
        if self._is_due("state", _STATE_GAP_NS, now_ns):
            _tell_state(session, outcome)
        if self._is_due("second", SECOND_NS, now_ns):
            _heartbeat(session, position, now_ns, outcome)
            fail_overdue(session, now_ns, outcome)
            session.clock.forget_before(position.heard_frame(now_ns))
        if self._is_due("latency", _LATENCY_GAP_NS, now_ns):
            news = session.latency.take_news()
            if news is not None:
                outcome.event("/mgrt/latency", *news)

    def _is_due(self, name: str, gap_ns: int, now_ns: int) -> bool:
        if now_ns < self._due_ns.get(name, 0):
            return False
        self._due_ns[name] = now_ns + gap_ns
        return True


def _tell_state(session: Session, outcome: Outcome) -> None:
    keys = session.state.take_untold()
    for message in session.state.messages(keys):
        outcome.events.append(message)
    for key in keys:
        for client in session.listeners.get(key, ()):
            outcome.replies += [Reply(client, one) for one in session.state.messages([key])]


def _heartbeat(session: Session, position: Position, now_ns: int, outcome: Outcome) -> None:
    view = session.view(position, now_ns)
    outcome.event(
        "/mgrt/heartbeat",
        view.phase,
        view.lead_ms,
        view.steps_per_second,
        view.underruns,
        view.peak_db,
        view.rms_db,
    )
