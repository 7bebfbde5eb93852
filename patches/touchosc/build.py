"""Write the layout for TouchOSC: python -m patches.touchosc.build, from the repository's root."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from patches.touchosc.tosc import Place, Scaled, document, message, node, packed

HERE = Path(__file__).resolve().parent
FILE = HERE / "musicgen-rt.tosc"
SURFACE: dict[str, Any] = tomllib.loads((HERE.parent / "surface.toml").read_text("utf-8"))
SIZE = (1024, 768)
GROUND, INK, BUTTON, WHITE, BLACK = "#14131a", "#ece8f5", "#5c5670", "#ece8f5", "#3a3745"
PRESET, PART, KNOB, LIGHT = "#a86f3d", "#3d78a8", "#ffb454", "#70f26c"
BLACK_KEYS = (1, 3, 6, 8, 10)  # of an octave from C


def button(
    name: str, place: Place, address: str, values: list[Any], color: str = BUTTON, text: str = ""
) -> list[Element]:
    """A button that sends when it is pressed, and the text on it, which lets touches through."""
    sent = message(address, *values, condition="RISE")
    caption = node("TEXT", f"{name}_name", place, values={"text": text or name}, textColor=INK)
    return [node("BUTTON", name, place, sent, color=color), caption]


def label(name: str, place: Place, text: str) -> Element:
    """A line of text, which the script changes."""
    return node("LABEL", name, place, values={"text": text}, textColor=INK)


def prompts() -> list[Element]:
    """The pad of two shares; beside it each one's text, and what else it may be."""
    shares = [message("/mgrt/prompt/weight", n, Scaled(v), trigger=v) for n, v in enumerate("xy")]
    # The default scene: all of the first prompt.
    pad = node("XY", "shares", Place(16, 16, 320, 320), *shares, values={"x": 1}, color=PRESET)
    nodes = [pad]
    for slot, direction in enumerate(("A, to the right", "B, upwards")):
        top = 16 + 108 * slot
        nodes.append(label(f"prompt_{slot}", Place(352, top, 656, 32), direction))
        places = Place(352, top + 36, 656, 60).row(len(SURFACE["prompts"]))
        for n, (place, text) in enumerate(zip(places, SURFACE["prompts"], strict=True)):
            values = [slot, text]
            nodes += button(f"preset_{slot}_{n}", place, "/mgrt/prompt/set", values, PRESET, text)
    return nodes


def tempo() -> list[Element]:
    low, high, default = (SURFACE["tempo"][name] for name in ("low", "high", "default"))
    sent = message("/mgrt/clock/tempo", Scaled("x", low, high))
    begin = {"x": (default - low) / (high - low)}
    place = Place(352, 268, 656, 68)
    fader = node("FADER", "tempo", place, sent, values=begin, color=KNOB, orientation=1)
    return [label("tempo_name", Place(352, 232, 656, 32), "tempo"), fader]


def commands() -> list[Element]:
    nodes = []
    places = [place for y in (352, 424) for place in Place(16, y, 492, 64).row(4)]
    for place, command in zip(places, SURFACE["commands"], strict=True):
        nodes += button(place=place, **command)
    return nodes


def parts() -> list[Element]:
    """A column for each part of the music: what it does, and three buttons."""
    nodes = []
    for column, part in zip(Place(516, 352, 492, 28).row(5), SURFACE["parts"], strict=True):
        nodes.append(node("TEXT", f"part_{part}", column, values={"text": part}, textColor=INK))
        for row, value in enumerate(("on", "off", "free")):
            place = Place(column.x, 384 + 36 * row, column.w, 32)
            values = [part, value, "bar"]
            nodes += button(f"{part}_{value}", place, "/mgrt/attr/set", values, PART, value)
    return nodes


def keyboard() -> list[Element]:
    """Keys send their velocity, and 0 when they are let go. Black ones lie upon the white ones."""
    first, count, velocity = (SURFACE["keys"][name] for name in ("first", "count", "velocity"))
    pitches = range(first, first + count)
    white = [pitch for pitch in pitches if pitch % 12 not in BLACK_KEYS]
    places = dict(zip(white, Place(16, 504, 840, 160).row(len(white), gap=2), strict=True))
    for pitch in sorted(set(pitches) - set(white)):
        left = places[pitch - 1]
        places[pitch] = Place(left.x + left.w - 16, left.y, 34, 96)
    nodes = []
    for pitch, place in places.items():
        sent = message("/mgrt/melody/note_on", pitch, Scaled("x", 0, velocity))
        color = WHITE if pitch in white else BLACK
        nodes.append(node("BUTTON", f"key_{pitch}", place, sent, color=color))
    for n, mode in enumerate(SURFACE["melody"]):
        nodes += button(place=Place(872, 504 + 84 * n, 136, 76), **mode)
    return nodes


def readouts() -> list[Element]:
    """Lights for the beats, and lines for what the daemon says."""
    places = Place(16, 680, 312, 32).row(8)
    lights = [
        node("BUTTON", f"light_{n}", place, color=LIGHT, interactive=False)
        for n, place in enumerate(places, 1)
    ]
    lines = [
        label("beat", Place(344, 680, 200, 32), "-"),
        label("daemon", Place(552, 680, 312, 32), "-"),
        label("answer", Place(16, 720, 992, 32), "-"),
    ]
    connect = button("connect", Place(872, 680, 136, 32), "/mgrt/notify", [1])
    return [*lights, *lines, *connect]


def layout() -> bytes:
    """The whole layout as XML."""
    script = (HERE / "surface.lua").read_text("utf-8")
    place = Place(0, 0, *SIZE)
    root = node("GROUP", "musicgen-rt", place, script=script, color=GROUND, cornerRadius=0.0)
    controls = [*prompts(), *tempo(), *commands(), *parts(), *keyboard(), *readouts()]
    return document(root, controls)


def main() -> None:
    FILE.write_bytes(packed(layout()))
    print(FILE.name)


if __name__ == "__main__":
    main()
