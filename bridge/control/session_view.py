"""The session at a glance, for whoever shows it: status, terminal, /health."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bridge.control.child_state import NO_BEATS, BeatsHeard
from bridge.control.host_following import Following
from bridge.control.position import Position

if TYPE_CHECKING:
    from bridge.control.session import Session

Phase = Literal["loading", "playing", "stopped", "failed"]


@dataclass(frozen=True)
class SessionView:
    """What holds now. Bar and beat count from 1; levels are in dBFS, -120 is silence."""

    phase: Phase
    model: str
    progress: float
    progress_text: str
    bar: int
    beat: int
    bpm: float
    beats_per_bar: int
    prompts: tuple[tuple[int, str, float], ...]
    lead_ms: float
    underruns: int
    is_fallback: bool
    steps_per_second: float
    peak_db: float
    rms_db: float
    gain_db: float
    is_muted: bool
    recording: str
    device: str
    latency_p50_ms: float
    latency_p95_ms: float
    following: Following
    beats: BeatsHeard = NO_BEATS


def view_of(session: Session, position: Position, now_ns: int) -> SessionView:
    """How a session is going."""
    frame = position.heard_frame(now_ns)
    timeline = session.clock.timeline
    state, playout = session.state, session.playout
    bar, beat = session.clock.place_at(frame)
    p50_ms, p95_ms = session.latency.percentiles
    return SessionView(
        phase=_phase(session),
        model=session.model,
        progress=session.engine.progress,
        progress_text=session.engine.progress_text,
        bar=bar,
        beat=beat,
        bpm=timeline.bpm_at(frame),
        beats_per_bar=timeline.clock_at(frame).beats_per_bar,
        prompts=tuple(state.prompts()),
        lead_ms=position.lead_ms,
        underruns=session.underruns,
        is_fallback=playout.is_fallback,
        steps_per_second=session.engine.steps_per_second,
        peak_db=playout.peak_db,
        rms_db=playout.rms_db,
        gain_db=state["audio/gain_db"],
        is_muted=state["audio/is_muted"],
        recording=state["record/name"] or "",
        device=state["device"] or "",
        latency_p50_ms=p50_ms,
        latency_p95_ms=p95_ms,
        following=session.following.view(session, position, now_ns),
        beats=session.engine.beats,
    )


def _phase(session: Session) -> Phase:
    if session.engine.failure is not None:
        return "failed"
    if not session.engine.was_ready:
        return "loading"
    return "playing" if session.state["transport/is_playing"] else "stopped"
