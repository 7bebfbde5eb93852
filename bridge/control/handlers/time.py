"""Commands about time: clock and transport."""

from __future__ import annotations

from collections.abc import Callable

from bridge.control.turn import Turn

RESET_AHEAD_SECONDS = 0.3


def _source(turn: Turn, name: str) -> None:
    turn.session.clock.choose(name)
    turn.state.set("clock/source", name)
    turn.done()


def _tempo(turn: Turn, bpm: float) -> None:
    taken = turn.session.clock.source.tempo(bpm)
    _set_tempo(turn, taken)
    turn.done_heard()


def _set_tempo(turn: Turn, bpm: float) -> None:
    clock = turn.session.clock
    if turn.has_place:
        clock.set_tempo(bpm, turn.frame)
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
    turn.state.set("clock/quantum", beats)
    turn.done()


def _tap(turn: Turn) -> None:
    at_ns = turn.request.time_tag_ns or turn.request.received_ns
    taps = turn.session.clock.source.tap(at_ns)
    if taps.bpm is not None:
        _set_tempo(turn, taps.bpm)
    turn.done(taps.count, taps.bpm or 0.0)


def _offset(turn: Turn, offset_ms: float) -> None:
    turn.session.clock.source.offset(offset_ms)
    turn.state.set("clock/offset_ms", offset_ms)
    turn.done()


def _play(turn: Turn) -> None:
    _gate(turn, is_open=True)


def _stop(turn: Turn) -> None:
    _gate(turn, is_open=False)


def _gate(turn: Turn, *, is_open: bool) -> None:
    turn.ask_playout(
        "gate", is_open=is_open, sample=turn.sample, sets={"transport/is_playing": is_open}
    )


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
