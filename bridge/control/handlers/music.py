"""Commands that say what to play: prompts, parameters, attributes, melody."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from bridge.control.turn import Turn
from bridge.refusal import Refusal, shown
from bridge.table.terms import LEAD_PARAMETERS, PARAMETERS

MAX_LISTENERS = 256


def _prompt_set(turn: Turn, slot: int, text: str, weight: float, ramp_beats: float) -> None:
    turn.ask_engine(
        "prompt/set",
        slot,
        text,
        weight,
        turn.frames_of(ramp_beats),
        sets={f"prompt/{slot}": text, f"weight/{slot}": weight},
    )


def _prompt_weight(turn: Turn, slot: int, weight: float, ramp_beats: float) -> None:
    if turn.state[f"prompt/{slot}"] is None:
        raise Refusal(f"slot {slot} is empty: put a prompt there with /mgrt/prompt/set first")
    turn.ask_engine(
        "prompt/weight",
        slot,
        weight,
        turn.frames_of(ramp_beats),
        sets={f"weight/{slot}": weight},
        fader=f"weight/{slot}",
    )


def _prompt_clear(turn: Turn, slot: int) -> None:
    turn.ask_engine("prompt/clear", slot, sets={f"prompt/{slot}": None, f"weight/{slot}": 0.0})


def _prompt_negative(turn: Turn, text: str | None) -> None:
    turn.ask_engine("prompt/negative", text, sets={"negative": text})


def _param_get(name: str, turn: Turn) -> None:
    turn.done(turn.state[f"param/{name}"])


def _param_set(name: str, turn: Turn, value: float) -> None:
    key = f"param/{name}"
    turn.ask_engine("param/set", name, value, sets={key: value}, fader=key)


def _lead_set(name: str, turn: Turn, value: float) -> None:
    turn.state.set(f"param/{name}", value)
    if turn.session.engine.is_ready:
        turn.outcome.engine.append({"type": "lead", **turn.state.lead()})
    turn.done_heard()


def _param_listen(name: str, turn: Turn, is_on: bool) -> None:
    listeners = turn.session.listeners.setdefault(f"param/{name}", {})
    if not is_on:
        listeners.pop(turn.client, None)
        turn.done()
        return
    if len(listeners) >= MAX_LISTENERS and turn.client not in listeners:
        raise Refusal(f"{MAX_LISTENERS} clients listen already: subscribe with /mgrt/notify")
    listeners[turn.client] = turn.client
    turn.done()
    turn.outcome.reply(turn.client, "/mgrt/state/param", name, turn.state[f"param/{name}"])


def _attr_set(turn: Turn, name: str, value: str) -> None:
    key = f"attr/{name}"
    if key not in turn.state:
        names = ", ".join(turn.state.attributes()) or "none"
        raise Refusal(f"attribute {shown(name)}: expected one that this checkpoint has: {names}")
    turn.ask_engine("attr/set", name, value, sets={key: value})


def _attr_list(turn: Turn) -> None:
    turn.done(*(word for pair in turn.state.attributes().items() for word in pair))


def _note_on(turn: Turn, pitch: int, velocity: int) -> None:
    if velocity == 0:
        _note_off(turn, pitch)
        return
    turn.ask_engine("melody/note_on", pitch, velocity)
    turn.session.notes.press(pitch, velocity, turn.client)


def _note_off(turn: Turn, pitch: int) -> None:
    # Before it counts as let go: a note that the engine is not told of would sound for ever.
    turn.session.owed.require_room()
    if turn.session.notes.let_go(pitch, turn.client):
        turn.ask_engine("melody/note_off", pitch)
    else:  # another client holds it
        turn.done_heard()


def _melody_mode(turn: Turn, mode: str) -> None:
    if mode == "file" and turn.state["melody/file"] is None:
        raise Refusal("there is no file yet: name one with /mgrt/melody/file")
    turn.ask_engine("melody/mode", mode, sets={"melody/mode": mode})


def _melody_loop_bars(turn: Turn, bars: int) -> None:
    turn.ask_engine("melody/loop_bars", bars, sets={"melody/loop_bars": bars})


def _melody_line(turn: Turn, line: str) -> None:
    turn.ask_engine("melody/line", line, sets={"melody/line": line})


def _melody_release(turn: Turn, release: str) -> None:
    turn.ask_engine("melody/release", release, sets={"melody/release": release})


def _melody_file(turn: Turn, name: str) -> None:
    path = turn.session.inputs.existing(name)
    turn.ask_engine("melody/file", str(path), sets={"melody/file": name, "melody/mode": "file"})


def _melody_clear(turn: Turn) -> None:
    turn.ask_engine("melody/clear", sets={"melody/file": None, "melody/mode": "off"})
    turn.session.notes.clear()


def _param_handlers() -> dict[str, Callable[..., None]]:
    handlers: dict[str, Callable[..., None]] = {}
    for name in PARAMETERS:
        handlers[f"param/get/{name}"] = partial(_param_get, name)
        handlers[f"param/set/{name}"] = partial(
            _lead_set if name in LEAD_PARAMETERS else _param_set, name
        )
        handlers[f"param/listen/{name}"] = partial(_param_listen, name)
    return handlers


HANDLERS: dict[str, Callable[..., None]] = {
    "prompt/set": _prompt_set,
    "prompt/weight": _prompt_weight,
    "prompt/clear": _prompt_clear,
    "prompt/negative": _prompt_negative,
    **_param_handlers(),
    "attr/set": _attr_set,
    "attr/list": _attr_list,
    "melody/note_on": _note_on,
    "melody/note_off": _note_off,
    "melody/mode": _melody_mode,
    "melody/loop_bars": _melody_loop_bars,
    "melody/line": _melody_line,
    "melody/release": _melody_release,
    "melody/file": _melody_file,
    "melody/clear": _melody_clear,
}
