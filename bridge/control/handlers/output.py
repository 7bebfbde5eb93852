"""Commands about what leaves: level, recording, devices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bridge.control.message import Value
from bridge.control.turn import Turn
from bridge.refusal import Refusal
from bridge.table.output import MAX_DEVICES

_MAX_DEVICE_CHARS = 100
_DEFAULT_SUFFIX = ".wav"


def _gain(turn: Turn, gain_db: float, ramp_ms: int) -> None:
    turn.ask_playout(
        "gain",
        gain_db=gain_db,
        sample=turn.sample,
        beat=turn.target.beat,
        ramp_ms=ramp_ms,
        sets={"audio/gain_db": gain_db},
        fader="audio/gain_db",
    )


def _mute(turn: Turn, is_on: bool) -> None:
    turn.ask_playout(
        "mute",
        is_muted=is_on,
        sample=turn.sample,
        beat=turn.target.beat,
        sets={"audio/is_muted": is_on},
    )


def _record(turn: Turn, is_on: bool, name: str | None) -> None:
    _require_playout(turn)
    session = turn.session
    if not is_on:
        ended = session.recording
        if ended is None:
            raise Refusal("nothing is being recorded: begin with /mgrt/audio/record 1")
        seconds = (turn.now_ns - ended.began_ns) / 1e9
        answer: tuple[Value, ...] = (ended.name, seconds)
        turn.ask_playout("record", path=None, answer=lambda _: answer)
        return
    if session.recording is not None:
        raise Refusal(f"{session.recording.name} is being recorded: end it first")
    path = _recording_path(turn, name)
    turn.ask_playout("record", path=str(path), answer=lambda _: (path.name, 0.0))


def _recording_path(turn: Turn, name: str | None) -> Path:
    shelf = turn.session.recordings
    if name is None:
        return shelf.numbered("recording", _DEFAULT_SUFFIX)
    return shelf.fresh(name if Path(name).suffix else name + _DEFAULT_SUFFIX)


def _devices(turn: Turn) -> None:
    _require_playout(turn)
    turn.ask_playout("devices", answer=_device_names)


def _device_names(answer: Mapping[str, Any]) -> tuple[Value, ...]:
    names = answer.get("devices", ())
    return tuple(str(name)[:_MAX_DEVICE_CHARS] for name in names[:MAX_DEVICES])


def _device(turn: Turn, name: str | None) -> None:
    _require_playout(turn)
    # Which one it has become the playout tells when it is ready again.
    turn.ask_playout("device", name=name, answer=lambda _: ())


def _require_playout(turn: Turn) -> None:
    if not turn.session.playout.is_ready:
        raise Refusal("the output is starting: try again in a second")


HANDLERS: dict[str, Callable[..., None]] = {
    "audio/gain_db": _gain,
    "audio/mute": _mute,
    "audio/record": _record,
    "audio/devices": _devices,
    "audio/device": _device,
}
