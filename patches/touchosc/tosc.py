"""Layouts of TouchOSC as files.

A .tosc file is XML packed by zlib: nodes with properties, values and messages. Their names and
numbers are those that TouchOSC 1.5 writes itself; what they mean is in its manual, under Controls,
Properties and Values, and OSC Messages (https://hexler.net/touchosc/manual).
"""

from __future__ import annotations

import uuid
import zlib
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

FORMAT_VERSION = "6"
ALL_CONNECTIONS = "1" * 10

# The number of a direction or a shape is as TouchOSC counts them: the first shape and the first
# alignment are 1, the first direction is 0 (north).
COMMON: dict[str, Any] = {
    "background": True,
    "color": "#404040",
    "cornerRadius": 4.0,
    "grabFocus": True,
    "interactive": True,
    "locked": False,
    "orientation": 0,
    "outline": True,
    "outlineStyle": 0,
    "pointerPriority": 0,
    "shape": 1,
    "visible": True,
}
TEXT: dict[str, Any] = {
    "background": False,
    "font": 0,
    "interactive": False,
    "outline": False,
    "textAlignH": 2,
    "textAlignV": 2,
    "textClip": True,
    "textColor": "#ffffff",
    "textSize": 16,
}
MOVED: dict[str, Any] = {
    "cursor": True,
    "cursorDisplay": 0,
    "gridColor": "#00000040",
    "response": 0,
    "responseFactor": 100,
}
OF_KIND: dict[str, dict[str, Any]] = {
    "BUTTON": {"buttonType": 0, "press": True, "release": True, "valuePosition": False},
    "FADER": {**MOVED, "bar": True, "barDisplay": 0, "grid": True, "gridSteps": 9},
    "GROUP": {"grabFocus": False, "interactive": False, "outline": False},
    "LABEL": {**TEXT, "textAlignH": 1, "textLength": 0},
    "TEXT": {**TEXT, "textWrap": True},
    "XY": {
        **MOVED,
        "gridX": True,
        "gridY": True,
        "gridStepsX": 10,
        "gridStepsY": 10,
        "lines": True,
        "linesDisplay": 0,
        "lockX": False,
        "lockY": False,
    },
}
VALUES: dict[str, dict[str, Any]] = {
    "BUTTON": {"x": 0},
    "FADER": {"x": 0},
    "GROUP": {},
    "LABEL": {"text": ""},
    "TEXT": {"text": ""},
    "XY": {"x": 0, "y": 0},
}


@dataclass(frozen=True)
class Place:
    """A rectangle in the root's units, from its upper left corner."""

    x: int
    y: int
    w: int
    h: int

    def row(self, count: int, gap: int = 8) -> list[Place]:
        """So many places beside one another in this one."""
        width = (self.w - gap * (count - 1)) // count
        return [Place(self.x + n * (width + gap), self.y, width, self.h) for n in range(count)]


@dataclass(frozen=True)
class Scaled:
    """An argument that is a value of the control, from 0 to 1 there and from low to high here."""

    value: str
    low: float = 0
    high: float = 1


def _leaf(parent: Element, tag: str, text: Any) -> None:
    SubElement(parent, tag).text = str(int(text) if isinstance(text, bool) else text)


def _property(parent: Element, key: str, value: Any) -> None:
    """A property; its letter follows from the Python type, a colour is `#rrggbb` or `#rrggbbaa`."""
    if key.lower().endswith("color"):
        parts = bytes.fromhex(f"{value.removeprefix('#'):f<8}")
        letter, fields = "c", {name: part / 255 for name, part in zip("rgba", parts, strict=True)}
    elif isinstance(value, Place):
        letter, fields = "r", vars(value)
    else:
        letter, fields = {bool: "b", int: "i", float: "f", str: "s"}[type(value)], {}
    element = SubElement(parent, "property", type=letter)
    _leaf(element, "key", key)
    if not fields:
        _leaf(element, "value", value)
        return
    inner = SubElement(element, "value")
    for name, field in fields.items():
        _leaf(inner, name, field)


def _value(parent: Element, key: str, default: Any) -> None:
    element = SubElement(parent, "value")
    text = str(default).lower() if isinstance(default, bool) else default
    fields = {"key": key, "locked": 0, "lockedDefaultCurrent": 0, "default": text, "defaultPull": 0}
    for tag, field in fields.items():
        _leaf(element, tag, field)


def _partial(parent: Element, argument: str | int | Scaled) -> None:
    """A part of an address, or an argument."""
    low: float = 0
    high: float = 1
    if isinstance(argument, Scaled):
        source, conversion, value = "VALUE", "FLOAT", argument.value
        low, high = argument.low, argument.high
    else:
        conversion = "INTEGER" if isinstance(argument, int) else "STRING"
        source, value = "CONSTANT", str(argument)
    element = SubElement(parent, "partial")
    fields = {"type": source, "conversion": conversion, "value": value}
    for tag, field in {**fields, "scaleMin": low, "scaleMax": high}.items():
        _leaf(element, tag, field)


def message(
    address: str, *arguments: str | int | Scaled, trigger: str = "x", condition: str = "ANY"
) -> Element:
    """A message that is sent when a value changes: at ANY change, when it RISEs or FALLs."""
    element = Element("osc")
    flags = {"enabled": 1, "send": 1, "receive": 0, "feedback": 0, "noDuplicates": 0}
    for tag, field in {**flags, "connections": ALL_CONNECTIONS}.items():
        _leaf(element, tag, field)
    one = SubElement(SubElement(element, "triggers"), "trigger")
    _leaf(one, "var", trigger)
    _leaf(one, "condition", condition)
    _partial(SubElement(element, "path"), address)
    inner = SubElement(element, "arguments")
    for argument in arguments:
        _partial(inner, argument)
    return element


def node(
    kind: str, name: str, place: Place, *messages: Element, values: Any = None, **properties: Any
) -> Element:
    """A control. `values` are those it begins with, by name."""
    identity = uuid.uuid5(uuid.NAMESPACE_URL, f"urn:musicgen-rt:touchosc:{name}")
    element = Element("node", ID=str(identity), type=kind)
    all_properties = {**COMMON, **OF_KIND[kind], "name": name, "frame": place, **properties}
    inner = SubElement(element, "properties")
    for key in sorted(all_properties):
        _property(inner, key, all_properties[key])
    inner = SubElement(element, "values")
    for key, default in {**VALUES[kind], "touch": False, **(values or {})}.items():
        _value(inner, key, default)
    if messages:
        SubElement(element, "messages").extend(messages)
    return element


def packed(xml: bytes) -> bytes:
    """The contents of a .tosc file."""
    return zlib.compress(xml, level=9)


def document(root: Element, children: list[Element]) -> bytes:
    """A layout as XML. The first children are drawn first, and lie under the others."""
    root.insert(0, Element("includes"))
    SubElement(root, "children").extend(children)
    element = Element("lexml", version=FORMAT_VERSION)
    element.append(root)
    xml: bytes = tostring(element, encoding="UTF-8", xml_declaration=True)
    return xml
