"""The session follows its clock source: beats, tempo, signature, start and stop; and says how well.

Every tick looks where the host is. What has to change of the timeline is the follower's business;
here it is decided how often, since each change costs the engine something.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.clock.anchor import Anchor
from bridge.clock.follower import drift_ppm, error_at, follow
from bridge.control.opening import gate_message, joining_ns, prepare
from bridge.control.position import SECOND_NS, Position
from bridge.refusal import Refusal

if TYPE_CHECKING:
    from bridge.control.outcome import Outcome
    from bridge.control.session import Session

_LOOK_GAP_NS = SECOND_NS // 40
_CALM_GAP_NS = SECOND_NS
_URGENT_GAP_NS = SECOND_NS // 4
# A jump must last so long: a host that relocates passes through states that are none.
_JUMP_NS = 40_000_000
# After the music began to move, what is heard is still what stood in the device's queue.
_SETTLE_NS = SECOND_NS // 4
_TOLD_GAP_NS = SECOND_NS
_DRIFT_GAP_NS = 2 * SECOND_NS
# As the message tells it.
_BPM_PLACES = 2


@dataclass(frozen=True)
class Following:
    """How the host is followed now. `error_ms` is by how much its beats are ahead of ours."""

    source: str
    is_locked: bool
    jitter_ms: float
    drift_ppm: float
    error_ms: float


class HostFollowing:
    """Remembers what was seen of the host, and when something was last changed. [control]"""

    def __init__(self) -> None:
        self._source: object = None
        self._chosen_ns = 0
        self._was_playing: bool | None = None
        self._moving_ns: int | None = None
        self._jump_ns: int | None = None
        self._changed_ns: int | None = None
        self._told_ns = 0
        self._looked_ns = 0
        self._was_locked: bool | None = None
        self._drift_from: Position | None = None
        self._drift_ppm = 0.0

    def tick(self, session: Session, position: Position, now_ns: int, outcome: Outcome) -> None:
        """Look at the host, and do what follows."""
        self._notice_source(session, now_ns)
        self._notice_movement(position, now_ns)
        _give_tempo(session, now_ns, outcome)
        host = host_of(session, now_ns)
        if host is not None:
            self._follow_transport(session, host, position, now_ns, outcome)
            self._follow_signature(session, host, position, outcome)
            self._follow_beats(session, host, position, now_ns, outcome)
        self._tell(session, position, now_ns, outcome)

    def view(self, session: Session, position: Position, now_ns: int) -> Following:
        """How it is going."""
        quality = session.clock.source.quality(now_ns)
        host, error_seconds = host_of(session, now_ns), 0.0
        if host is not None and host.is_running and position.is_moving:
            frame = int(position.heard_frame(now_ns))
            error_seconds = error_at(session.clock.timeline, host, position, now_ns, frame)
        return Following(
            session.clock.source.name,
            quality.is_locked,
            quality.jitter_ms,
            self._drift_ppm,
            error_seconds * 1000,
        )

    def _notice_source(self, session: Session, now_ns: int) -> None:
        source = session.clock.source
        if source is not self._source:
            self._source = source
            self._chosen_ns = now_ns
            self._was_playing = None
            self._was_locked = None

    def _notice_movement(self, position: Position, now_ns: int) -> None:
        if not position.is_moving or not position.dac_time_ns:
            self._moving_ns = self._drift_from = None
            return
        if self._moving_ns is None:
            self._moving_ns = now_ns
        elif now_ns - self._moving_ns < _SETTLE_NS:
            return
        elif self._drift_from is None or position.dac_sample < self._drift_from.dac_sample:
            self._drift_from = position
        elif position.dac_time_ns - self._drift_from.dac_time_ns > _DRIFT_GAP_NS:
            self._drift_ppm = drift_ppm(self._drift_from, position)

    def _follow_transport(
        self, session: Session, host: Anchor, position: Position, now_ns: int, outcome: Outcome
    ) -> None:
        is_playing, was_playing = host.is_playing, self._was_playing
        if is_playing is None or is_playing is was_playing:
            return
        from_ns = host.playing_from_ns or 0
        if not is_playing and from_ns > now_ns:
            return  # its end is to come
        self._was_playing = is_playing
        # What a host does as it is met is no reason to begin or to end.
        is_change = was_playing is not None or from_ns > self._chosen_ns
        if not is_change or is_playing is session.state["transport/is_playing"]:
            return
        session.state.set("transport/is_playing", is_playing)
        if not session.playout.is_ready:
            return
        at_ns = None
        if is_playing and not position.is_moving:
            at_ns = joining_ns(host, now_ns)
            prepare(session, host, position, at_ns, outcome)
        identity = session.owed.next_id()
        outcome.playout.append(gate_message(identity, is_open=is_playing, time_ns=at_ns))

    def _follow_signature(
        self, session: Session, host: Anchor, position: Position, outcome: Outcome
    ) -> None:
        beats, frame = host.beats_per_bar, position.commit_frame
        last = session.clock.timeline.segments[-1]
        if beats is None or beats == last.beats_per_bar:
            return
        session.clock.set_signature(beats, frame)
        session.send_timeline(frame, outcome)
        session.state.set("clock/beats", beats)

    def _follow_beats(
        self, session: Session, host: Anchor, position: Position, now_ns: int, outcome: Outcome
    ) -> None:
        if self._moving_ns is None or now_ns - self._moving_ns < _SETTLE_NS:
            return
        if now_ns - self._looked_ns < _LOOK_GAP_NS:
            return
        self._looked_ns = now_ns
        clock = session.clock
        change = follow(clock.timeline, host, position, now_ns)
        if change is None or not change.is_jump:
            self._jump_ns = None
        if change is None or not self._is_time(change.is_urgent, change.is_jump, now_ns):
            return
        self._changed_ns = now_ns
        clock.timeline = change.timeline
        session.send_timeline(change.frame, outcome)
        bpm = round(host.bpm, _BPM_PLACES)
        if bpm != session.state["clock/bpm"]:
            session.state.set("clock/bpm", bpm)

    def _is_time(self, is_urgent: bool, is_jump: bool, now_ns: int) -> bool:
        gap_ns = _URGENT_GAP_NS if is_urgent else _CALM_GAP_NS
        if self._changed_ns is not None and now_ns - self._changed_ns < gap_ns:
            return False
        if not is_jump:
            return True
        if self._jump_ns is None:
            self._jump_ns = now_ns
        return now_ns - self._jump_ns >= _JUMP_NS

    def _tell(self, session: Session, position: Position, now_ns: int, outcome: Outcome) -> None:
        """An event when the lock is found or lost, and once a second while one is followed."""
        source = session.clock.source
        is_locked = source.quality(now_ns).is_locked
        is_due = now_ns - self._told_ns >= _TOLD_GAP_NS and source.name != "internal"
        if is_locked is self._was_locked and not is_due:
            return
        self._was_locked = is_locked
        self._told_ns = now_ns
        view = self.view(session, position, now_ns)
        outcome.event(
            "/mgrt/clock",
            view.source,
            view.is_locked,
            view.jitter_ms,
            view.drift_ppm,
            view.error_ms,
        )


def _give_tempo(session: Session, now_ns: int, outcome: Outcome) -> None:
    """Give the host the tempo that it was to be given by now."""
    try:
        bpm = session.clock.tell_due_tempo(now_ns)
    except Refusal as refusal:  # it has become another's to choose since
        outcome.event("/mgrt/error", "clock", str(refusal))
        return
    if bpm is not None:
        session.state.set("clock/bpm", bpm)


def host_of(session: Session, now_ns: int) -> Anchor | None:
    """The host with all offsets applied; None while nobody is followed, or it is not known."""
    clock = session.clock
    anchor = clock.source.anchor(now_ns)
    if anchor is None:
        return None
    shift_ms = session.state["clock/offset_ms"] - clock.output_latency_ms
    return anchor.later(round(shift_ms * 1e6))
