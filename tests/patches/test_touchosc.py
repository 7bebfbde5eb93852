"""The layout for TouchOSC as a file, and its script with a stand-in for TouchOSC's functions.

TouchOSC itself is not run. What its controls would send is taken by the protocol's table, and what
the script shows comes from a daemon.
"""

from __future__ import annotations

import json
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest

from bridge.protocol import BY_ADDRESS
from patches.touchosc.build import layout
from tests.bridge.daemon_rig import DaemonProcess
from tests.patches.stand_in import lines_of

FOLDER = Path(__file__).resolve().parents[2] / "patches" / "touchosc"
DOCUMENT = ElementTree.fromstring(zlib.decompress((FOLDER / "musicgen-rt.tosc").read_bytes()))
NODES = list(DOCUMENT.iter("node"))
# As TouchOSC's manual has them: the kinds of controls and the values of each.
VALUES = {
    "BOX": {"touch"},
    "BUTTON": {"x", "touch"},
    "LABEL": {"text", "touch"},
    "TEXT": {"text", "touch"},
    "FADER": {"x", "touch"},
    "XY": {"x", "y", "touch"},
    "RADIAL": {"x", "touch"},
    "ENCODER": {"x", "y", "touch"},
    "RADAR": {"x", "y", "touch"},
    "RADIO": {"x", "touch"},
    "GROUP": {"touch"},
    "GRID": {"touch"},
    "PAGER": {"page", "touch"},
}
FLAGS = ("enabled", "send", "receive", "feedback", "noDuplicates")
FIELDS = {"r": ["x", "y", "w", "h"], "c": ["r", "g", "b", "a"]}

STAND_IN = """
local now = 0
function getMillis() return now end
function sendOSC(...) print('sent', ...) end
self = {{ children = {{}} }}
for _, name in ipairs({{ {names} }}) do
  self.children[name] = {{ values = {{ text = '', x = 0 }}, visible = true }}
end
local function frame(ms)
  now = ms
  update()
  for name, child in pairs(self.children) do
    print('shows', ms, name, child.values.text, child.values.x, child.visible)
  end
end
dofile(arg[1])
for _, ms in ipairs({{ 0, 1000, 2500 }}) do frame(ms) end
for _, message in ipairs({{ {messages} }}) do onReceiveOSC(message, {{ true }}) end
for _, ms in ipairs({{ 3000, 4000, 9000 }}) do frame(ms) end
"""


class Frame(NamedTuple):
    """A rectangle in the units of the control around it."""

    x: float
    y: float
    w: float
    h: float

    def holds(self, inner: Frame) -> bool:
        """Whether another, that counts from this one's corner, lies inside."""
        is_inside = inner.x >= 0 and inner.y >= 0 and inner.w > 0 and inner.h > 0
        return is_inside and inner.x + inner.w <= self.w and inner.y + inner.h <= self.h

    def meets(self, other: Frame) -> bool:
        """Whether another of the same control lies partly under this one."""
        is_beside = self.x >= other.x + other.w or other.x >= self.x + self.w
        return not (is_beside or self.y >= other.y + other.h or other.y >= self.y + self.h)


class Sent(NamedTuple):
    """A message of a control: what changes its value, and its arguments at both ends of that."""

    control: str
    trigger: str
    condition: str
    address: str
    ends: list[list[Any]]


def text_of(element: Element, path: str) -> str:
    found = element.find(path)
    assert found is not None, path
    return found.text or ""


def property_of(node: Element, key: str) -> Element:
    found = next(one for one in node.findall("properties/property") if text_of(one, "key") == key)
    value = found.find("value")
    assert value is not None
    return value


def name_of(node: Element) -> str:
    return property_of(node, "name").text or ""


def frame_of(node: Element) -> Frame:
    return Frame(*(float(text_of(property_of(node, "frame"), side)) for side in FIELDS["r"]))


def is_touched(node: Element) -> bool:
    return property_of(node, "interactive").text == "1"


def argument_of(partial: Element, is_at_end: bool) -> Any:
    """What TouchOSC makes of an argument, with the control at one end of its way."""
    source, conversion = text_of(partial, "type"), text_of(partial, "conversion")
    convert = {"INTEGER": int, "FLOAT": float, "STRING": str}[conversion]
    if source == "CONSTANT":
        return convert(text_of(partial, "value"))
    assert source == "VALUE"
    return convert(text_of(partial, "scaleMax" if is_at_end else "scaleMin"))


def messages() -> Iterator[Sent]:
    for node in NODES:
        for one in node.findall("messages/osc"):
            trigger = one.findall("triggers/trigger")
            address = one.findall("path/partial")
            assert len(trigger) == len(address) == 1
            arguments = one.findall("arguments/partial")
            ends = [[argument_of(each, end) for each in arguments] for end in (False, True)]
            yield Sent(
                name_of(node),
                text_of(trigger[0], "var"),
                text_of(trigger[0], "condition"),
                text_of(address[0], "value"),
                ends,
            )


MESSAGES = list(messages())


def test_the_file_is_what_the_builder_makes() -> None:
    # As XML: how zlib packs it changes with its versions.
    assert zlib.decompress((FOLDER / "musicgen-rt.tosc").read_bytes()) == layout()


def test_it_has_the_shape_of_a_layout() -> None:
    assert (DOCUMENT.tag, DOCUMENT.attrib) == ("lexml", {"version": "6"})
    (root,) = DOCUMENT
    assert root.get("type") == "GROUP"
    assert text_of(root, "properties/property[key='script']/value") == (
        FOLDER / "surface.lua"
    ).read_text(encoding="utf-8")


def test_each_control_is_of_a_known_kind_and_has_its_own_id() -> None:
    identities = [node.attrib["ID"] for node in NODES]
    assert len({uuid.UUID(one) for one in identities}) == len(NODES)
    names = [name_of(node) for node in NODES]
    assert len(set(names)) == len(names)
    for node in NODES:
        kind = node.attrib["type"]
        assert {text_of(one, "key") for one in node.findall("values/value")} == VALUES[kind]
        assert kind in ("GROUP", "GRID", "PAGER") or node.find("children") is None


@pytest.mark.parametrize("node", NODES, ids=name_of)
def test_a_property_has_the_form_of_its_letter(node: Element) -> None:
    keys = [text_of(one, "key") for one in node.findall("properties/property")]
    assert keys == sorted(set(keys))
    for one in node.findall("properties/property"):
        letter, value = one.attrib["type"], one.find("value")
        assert value is not None
        assert [field.tag for field in value] == FIELDS.get(letter, [])
        numbers = [float(field.text or "") for field in value]
        match letter:
            case "c":
                assert all(0 <= number <= 1 for number in numbers)
            case "b":
                assert value.text in ("0", "1")
            case "i" | "f":
                assert {"i": int, "f": float}[letter](value.text or "") >= 0
            case _:
                assert letter in ("r", "s")


def test_each_control_lies_inside_the_one_around_it() -> None:
    for parent in NODES:
        for child in parent.findall("children/node"):
            assert frame_of(parent).holds(frame_of(child)), name_of(child)


def test_no_control_is_covered_but_white_keys_by_black_ones() -> None:
    (root,) = DOCUMENT
    touched = [node for node in root.findall("children/node") if is_touched(node)]
    for index, lower in enumerate(touched):
        for upper in touched[index + 1 :]:
            if frame_of(lower).meets(frame_of(upper)):
                places = [name_of(node).removeprefix("key_") for node in (lower, upper)]
                notes = [int(place) % 12 for place in places]
                assert notes[0] in (0, 2, 4, 5, 7, 9, 11)
                assert notes[1] in (1, 3, 6, 8, 10)
                assert frame_of(upper).h < frame_of(lower).h


def test_text_lets_touches_through() -> None:
    assert not any(is_touched(node) for node in NODES if node.get("type") in ("TEXT", "LABEL"))


def test_messages_are_sent_on_every_connection() -> None:
    for one in DOCUMENT.iter("osc"):
        assert [text_of(one, flag) for flag in FLAGS] == ["1", "1", "0", "0", "0"]
        assert text_of(one, "connections") == "1" * 10


@pytest.mark.parametrize("sent", MESSAGES, ids=lambda sent: f"{sent.control} {sent.trigger}")
def test_a_control_sends_what_the_table_takes(sent: Sent) -> None:
    for values in sent.ends:
        BY_ADDRESS[sent.address].call(values)
    # What changes on the way must be sent on the way, the rest once.
    assert (sent.condition == "ANY") == (sent.ends[0] != sent.ends[1])
    kind = next(node for node in NODES if name_of(node) == sent.control).attrib["type"]
    assert sent.trigger in VALUES[kind]


def test_it_has_what_a_performance_needs() -> None:
    sent = [(one.address, *one.ends[1]) for one in MESSAGES]
    wanted: list[tuple[Any, ...]] = [
        *(("/mgrt/prompt/weight", slot, 1.0) for slot in (0, 1)),
        *(("/mgrt/attr/set", part, value, "bar") for part in PARTS for value in CHOICES),
        *(("/mgrt/melody/note_on", pitch, 100.0) for pitch in range(48, 73)),
        *(("/mgrt/transport/play",), ("/mgrt/transport/stop",), ("/mgrt/gen/retry",)),
        *(("/mgrt/gen/undo", 4), ("/mgrt/gen/freeze", 1), ("/mgrt/gen/freeze", 0)),
        *(("/mgrt/clock/tempo", 200.0), ("/mgrt/notify", 1)),
    ]
    assert [one for one in wanted if one not in sent] == []
    presets = {one[2] for one in sent if one[:2] == ("/mgrt/prompt/set", 0)}
    assert len(presets) == 4
    assert presets == {one[2] for one in sent if one[:2] == ("/mgrt/prompt/set", 1)}
    assert [one.ends for one in MESSAGES if one.control == "key_60"] == [[[60, 0.0], [60, 100.0]]]


PARTS = ("drums", "bass", "pad", "keys", "lead")
CHOICES = ("on", "off", "free")


def in_lua(messages: list[tuple[Any, ...]]) -> str:
    """OSC messages as TouchOSC gives them to a script: an address, and a table of arguments."""
    tables = []
    for address, *values in messages:
        arguments = ", ".join(f"{{ value = {json.dumps(value)} }}" for value in values)
        tables.append(f"{{ {json.dumps(address)}, {{ {arguments} }} }}")
    return ", ".join(tables)


def heard_from(daemon: DaemonProcess) -> list[tuple[Any, ...]]:
    """What a daemon tells one who subscribes, and what it answers."""
    ear = daemon.client
    ear.ask("/mgrt/prompt/set", 1, "string quartet", 0.25)
    ear.ask("/mgrt/attr/set", "drums", "off")
    ear.ask("/mgrt/melody/mode", "follow")
    ear.ask("/mgrt/notify", 1)
    ear.wait(lambda message: message[0] == "/mgrt/heartbeat", 60)
    ear.wait(lambda message: message[0] == "/mgrt/beat", 60)
    ear.ask("/mgrt/clock/tempo", 5.0)
    ear.ask("/mgrt/notify", 0)
    return [one for one in ear.received if one[:2] != ("/done", "/mgrt/notify")]


def test_its_script_shows_what_a_daemon_tells(daemon: DaemonProcess, tmp_path: Path) -> None:
    told = heard_from(daemon)
    bar, beat = next(one[1:3] for one in reversed(told) if one[0] == "/mgrt/beat")
    names = ", ".join(json.dumps(name_of(node)) for node in NODES)
    driver = STAND_IN.format(names=names, messages=in_lua(told))
    lines = [
        line.split("\t") for line in lines_of(tmp_path, "lua5.4", driver, FOLDER / "surface.lua")
    ]
    sent = [line[1:] for line in lines if line[0] == "sent"]
    assert sent == [["/mgrt/notify", "1"]] * 2 + [["/mgrt/status"]] + [["/mgrt/notify", "1"]]
    shows = {(int(line[1]), line[2]): line[3:] for line in lines if line[0] == "shows"}
    assert shows[2500, "daemon"][0].startswith("nobody answers")
    assert shows[4000, "daemon"][0] == "connected, playing"
    assert shows[9000, "daemon"][0].startswith("nobody answers")
    assert shows[4000, "beat"][0] == f"bar {bar}, beat {beat}"
    lit = [n for n in range(1, 9) if shows[4000, f"light_{n}"][1] == "1"]
    assert lit == [beat]
    visible = [n for n in range(1, 9) if shows[4000, f"light_{n}"][2] == "true"]
    assert visible == [1, 2, 3, 4]
    assert shows[4000, "prompt_1"][0] == "B, share 0.25: string quartet"
    assert shows[4000, "part_drums"][0] == "drums: off"
    assert shows[4000, "tempo_name"][0] == "tempo 120, internal"
    assert shows[4000, "play_name"][0] == "playing"
    assert shows[4000, "freeze_name"][0] == "freeze"
    assert shows[4000, "follow_name"][0] == "following"
    assert "20 to 999" in shows[4000, "answer"][0]
