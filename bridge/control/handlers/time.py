"""Commands about time: clock and transport."""

from __future__ import annotations

from collections.abc import Callable

from bridge.control.host_following import host_of
from bridge.control.opening import opening_ns, prepare
from bridge.control.turn import Turn
from bridge.refusal import Refusal

RESET_AHEAD_SECONDS = 0.3


def _source(turn: Turn, name: str) -> None:
    heard_frame = turn.position.frame_at(turn.now_ns, turn.now_ns)
    shift_ms = turn.state["clock/offset_ms"] - turn.session.clock.output_latency_ms
    # As a host would have to say it, for what is heard to stay where it is.
    host_ns = turn.now_ns - round(shift_ms * 1e6)
    turn.session.clock.choose(name, heard_frame, host_ns)
    turn.session.clock.source.quantum(turn.state["clock/quantum"])
    turn.state.set("clock/source", name)
    turn.done()


def _tempo(turn: Turn, bpm: float, ramp_beats: float) -> None:
    clock = turn.session.clock
    name = clock.source.name
    if name == "internal":
        _set_tempo(turn, clock.tell_tempo(bpm, turn.now_ns), ramp_beats)
    elif ramp_beats:
        raise Refusal(
            f"ramp_beats is {ramp_beats:g}: only the internal clock ramps by itself; "
            f"with {name} expected 0, and a ramp by the host"
        )
    elif (at_ns := _moment_ns(turn)) > turn.now_ns:
        clock.tell_tempo_at(bpm, at_ns)
    else:
        _host_has_tempo(turn, clock.tell_tempo(bpm, turn.now_ns))
    turn.done_heard()


def _moment_ns(turn: Turn) -> int:
    """When the request's moment is there, by the clock."""
    if not turn.has_place:
        return turn.now_ns
    tag_ns = turn.request.time_tag_ns
    if tag_ns is not None and turn.request.call.when.unit == "now":
        return tag_ns
    return turn.position.time_of_frame_ns(turn.frame, turn.now_ns)


def _host_has_tempo(turn: Turn, bpm: float) -> None:
    """The host that is followed was given another tempo: followed as soon as it says so itself."""
    is_followed = turn.position.is_moving and host_of(turn.session, turn.now_ns) is not None
    if is_followed:
        turn.state.set("clock/bpm", bpm)
    else:
        _set_tempo(turn, bpm)


def _set_tempo(turn: Turn, bpm: float, ramp_beats: float = 0.0) -> None:
    clock = turn.session.clock
    if turn.has_place or ramp_beats:
        clock.set_tempo(bpm, turn.frame, clock.ramp_frames(bpm, turn.frame, ramp_beats))
        turn.session.send_timeline(turn.frame, turn.outcome)
    elif clock.set_tempo_soon(bpm, turn.frame, turn.now_ns):
        turn.session.send_timeline(turn.frame, turn.outcome)
    turn.state.set("clock/bpm", bpm)


def _beat(turn: Turn, beat: float, bpm: float | None) -> None:
    at_ns = turn.request.time_tag_ns or turn.request.received_ns
    turn.session.clock.source.beat(beat, bpm, at_ns)
    turn.done()


def _signature(turn: Turn, beats: int, unit: int) -> None:
    clock = turn.session.clock
    clock.set_signature(clock.source.signature(beats), turn.frame)
    turn.session.send_timeline(turn.frame, turn.outcome)
    turn.state.set("clock/beats", beats)
    turn.state.set("clock/unit", unit)
    turn.done_heard()


def _quantum(turn: Turn, beats: int) -> None:
    turn.session.clock.source.quantum(beats)
    turn.state.set("clock/quantum", beats)
    turn.done()


def _tap(turn: Turn) -> None:
    at_ns = turn.request.time_tag_ns or turn.request.received_ns
    taps = turn.session.clock.source.tap(at_ns)
    if taps.bpm is not None:
        _host_has_tempo(turn, taps.bpm)
    turn.done(taps.count, taps.bpm or 0.0)


def _offset(turn: Turn, offset_ms: float) -> None:
    turn.session.clock.source.offset(offset_ms)
    turn.state.set("clock/offset_ms", offset_ms)
    turn.done()


def _play(turn: Turn) -> None:
    at_ns = _opening_ns(turn)
    turn.ask_playout("gate", is_open=True, time_ns=at_ns, sets={"transport/is_playing": True})
    turn.session.clock.source.transport(True, turn.now_ns if at_ns is None else at_ns)


def _opening_ns(turn: Turn) -> int | None:
    """The moment at which the gate opens; standing, the session is given the host's place there."""
    session = turn.session
    if turn.position.is_moving or not session.playout.is_ready:
        return None
    session.owed.require_room()
    host = host_of(session, turn.now_ns)
    if host is not None and not host.is_running:
        host = None
    beats = session.clock.timeline.segments[-1].beats_per_bar
    tag_ns = turn.request.time_tag_ns
    at_ns = opening_ns(turn.request.call.when, tag_ns, host, beats, turn.now_ns)
    if host is not None and at_ns is not None:
        prepare(session, host, turn.position, at_ns, turn.outcome)
    return at_ns


def _stop(turn: Turn) -> None:
    turn.ask_playout(
        "gate",
        is_open=False,
        sample=turn.sample,
        beat=turn.target.beat,
        sets={"transport/is_playing": False},
    )
    at_ns = turn.position.time_of_frame_ns(turn.frame, turn.now_ns)
    turn.session.clock.source.transport(False, max(turn.now_ns, at_ns))


def _reset(turn: Turn) -> None:
    session, frame = turn.session, turn.frame
    session.owed.require_room()
    if not turn.has_place:
        # The engine must know of it before it makes that frame.
        frame += round(RESET_AHEAD_SECONDS * session.clock.timeline.frame_rate_hz)
    session.clock.restart(frame)
    session.send_timeline(frame, turn.outcome)
    turn.ask_engine("transport/reset", frame=frame)


HANDLERS: dict[str, Callable[..., None]] = {
    "clock/source": _source,
    "clock/tempo": _tempo,
    "clock/beat": _beat,
    "clock/signature": _signature,
    "clock/quantum": _quantum,
    "clock/tap": _tap,
    "clock/offset_ms": _offset,
    "transport/play": _play,
    "transport/stop": _stop,
    "transport/reset": _reset,
}
