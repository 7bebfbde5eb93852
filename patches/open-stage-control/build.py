"""Write the session for Open Stage Control: python patches/open-stage-control/build.py"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FILE = HERE / "musicgen-rt.json"
SURFACE: dict[str, Any] = tomllib.loads((HERE.parent / "surface.toml").read_text("utf-8"))
COLORS = {
    "ground": "#14131a",
    "text": "#ece8f5",
    "button": "#968fa8",
    "knob": "#ffb454",
    "keys": "#ffb454",
    "faders": ("#f5a864", "#70f26c", "#6cb9f2", "#c96cf2"),
}
# Subscribe until heartbeats come, which they do once a second, and again when they stay away.
LOOK = """
locals.heard = 0
setInterval("look", () => {
    if (Date.now() - locals.heard < 3500) return
    set("daemon", "nobody answers: start the daemon with musicgen-rt jam", {send: false})
    send("/mgrt/notify", 1)
}, 2000)
send("/mgrt/notify", 1)
"""
HEARD = """
locals.heard = Date.now()
set("daemon", "connected, " + value[0], {send: false})
"""
# Any message keeps the subscription.
RENEW = 'setInterval("renew", () => send("/mgrt/status"), 10000)'


def _widget(kind: str, name: str, place: tuple[int, int, int, int], **more: Any) -> dict[str, Any]:
    """A widget; its place is left, top, width and height in pixels."""
    left, top, width, height = place
    return {
        "type": kind,
        "id": name,
        "left": left,
        "top": top,
        "width": width,
        "height": height,
        **more,
    }


def _button(
    name: str, place: tuple[int, int, int, int], address: str, values: list[Any]
) -> dict[str, Any]:
    """A button that sends its values when it is tapped."""
    return _widget(
        "button",
        name,
        place,
        label=name,
        mode="momentary",  # sends the values alone; a tap would add one of its own
        address=address,
        preArgs=values,
        colorWidget=COLORS["button"],
    )


def _readout(
    name: str, place: tuple[int, int, int, int], address: str, text: str, **more: Any
) -> dict[str, Any]:
    """A text, and what comes from an address after it."""
    return _widget("text", name, place, address=address, default=text, **more)


def _prompts() -> list[dict[str, Any]]:
    widgets = []
    for slot, prompt in enumerate(SURFACE["prompts"]):
        top = 20 + 70 * slot
        text = {"default": prompt, "address": "/mgrt/prompt/set", "preArgs": [slot]}
        widgets.append(_widget("input", f"prompt_{slot}", (20, top, 420, 30), **text))
        fader = {"horizontal": True, "range": {"min": 0, "max": 1}, "default": int(slot == 0)}
        fader |= {"address": "/mgrt/prompt/weight", "preArgs": [slot], "design": "compact"}
        fader |= {"colorWidget": COLORS["faders"][slot]}
        widgets.append(_widget("fader", f"weight_{slot}", (20, top + 32, 420, 32), **fader))
    return widgets


def _sampling() -> list[dict[str, Any]]:
    """Knobs for guidance and heat, and the tempo."""
    tempo = SURFACE["tempo"]
    knobs = [
        ("guidance", "/mgrt/param/set/cfg", 1.0, 10.0, 3.0),
        ("heat", "/mgrt/param/set/temperature", 0.3, 2.0, 1.0),
        ("tempo", "/mgrt/clock/tempo", tempo["low"], tempo["high"], tempo["default"]),
        ("level", "/mgrt/audio/gain_db", -60.0, 6.0, 0.0),
    ]
    widgets = []
    for n, (name, address, low, high, default) in enumerate(knobs):
        left = 470 + 110 * n
        knob = {"range": {"min": low, "max": high}, "default": default, "address": address}
        knob |= {"preArgs": [], "colorWidget": COLORS["knob"]}
        widgets.append(_widget("knob", name, (left, 20, 100, 100), **knob))
        widgets.append(_readout(f"{name}_name", (left, 124, 100, 26), "", name))
    return widgets


def _buttons() -> list[dict[str, Any]]:
    parts = [
        {"name": f"drums {value}", "address": "/mgrt/attr/set", "values": ["drums", value, "bar"]}
        for value in ("on", "off", "free")
    ]
    return [
        _button(place=(470 + 110 * (n % 4), 160 + 60 * (n // 4), 100, 50), **button)
        for n, button in enumerate([*SURFACE["commands"], *parts])
    ]


def _keyboard() -> list[dict[str, Any]]:
    """Keys send pitch and velocity, 0 when they are let go."""
    first, count, velocity = (SURFACE["keys"][name] for name in ("first", "count", "velocity"))
    keys: dict[str, Any] = {"keys": count, "start": first, "on": velocity, "off": 0}
    keys |= {"address": "/mgrt/melody/note_on", "preArgs": [], "colorWidget": COLORS["keys"]}
    return [
        _widget("keyboard", "keys", (20, 360, 660, 130), **keys),
        *(
            _button(place=(700, 360 + 70 * n, 190, 60), **button)
            for n, button in enumerate(SURFACE["melody"])
        ),
    ]


def _readouts() -> list[dict[str, Any]]:
    """What the daemon says: whether it is there, the beat, the last answers."""
    seen = [
        ("daemon", (20, 510, 420, 36), ""),
        ("beat", (460, 510, 160, 36), "/mgrt/beat"),
        ("done", (20, 552, 420, 36), "/done"),
        ("fail", (460, 552, 430, 36), "/fail"),
    ]
    widgets = [_readout(*one, "-", align="left") for one in seen]
    scripts = {"onCreate": LOOK + RENEW, "onValue": HEARD}
    return [*widgets, {"type": "variable", "id": "pulse", "address": "/mgrt/heartbeat", **scripts}]


def session() -> dict[str, Any]:
    """The whole session."""
    widgets = [*_prompts(), *_sampling(), *_buttons(), *_keyboard(), *_readouts()]
    root = {"type": "root", "id": "root", "widgets": widgets, "tabs": []}
    root |= {"colorBg": COLORS["ground"], "colorText": COLORS["text"]}
    return {"version": "1.29.0", "type": "session", "content": root}


def main() -> None:
    FILE.write_text(json.dumps(session(), indent=1) + "\n", encoding="utf-8")
    print(FILE.name)


if __name__ == "__main__":
    main()
