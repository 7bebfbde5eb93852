"""The structure of the Max patches and of the device for Live: neither program runs here."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.entry import PREFIX
from bridge.protocol import BY_ADDRESS, COMMANDS, OUTGOING

PATCHES = Path(__file__).resolve().parents[2] / "patches"
FILES = ("max/mgrt.maxpat", "max/mgrt.maxhelp", "max/mgrt-demo.maxpat", "live/mgrt.amxd")
HEARD = {entry.address for entry in OUTGOING} | {entry.answer.address for entry in COMMANDS}
HEARD |= {"/fail"}
# One value for each way in which a number may arrive from a slider, a toggle or Live.
INCOMING = (1, 100.0)


def json_of(name: str) -> Any:
    """The patch in a file; a device's lies behind a header of little-endian chunks."""
    data = (PATCHES / name).read_bytes()
    if name.endswith(".amxd"):
        kind, meta, patch = data[:12], data[12:24], data[24:]
        assert kind == b"ampf" + struct.pack("<I", 4) + b"mmmm"
        assert meta == b"meta" + struct.pack("<II", 4, 0)
        assert patch[:4] == b"ptch"
        assert struct.unpack("<I", patch[4:8])[0] == len(patch) - 8
        data = patch[8:].rstrip(b"\0")
    return json.loads(data)


def patchers(patcher: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A patcher and all that are inside of it."""
    yield patcher
    for one in patcher["boxes"]:
        if "patcher" in one["box"]:
            yield from patchers(one["box"]["patcher"])


def boxes(name: str) -> list[dict[str, Any]]:
    """All boxes of a file."""
    found = patchers(json_of(name)["patcher"])
    return [one["box"] for patcher in found for one in patcher["boxes"]]


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(PATCHES / "max"))
    return importlib.import_module("build")


def test_the_files_are_what_the_builder_writes(builder: Any) -> None:
    written = builder.files()
    assert {str(path) for path in written} == set(FILES)
    for path, data in written.items():
        assert (PATCHES / path).read_bytes() == data, f"run patches/max/build.py: {path} is old"


@pytest.mark.parametrize("name", FILES)
def test_every_cord_ends_where_there_is_something(name: str) -> None:
    for patcher in patchers(json_of(name)["patcher"]):
        found = {one["box"]["id"]: one["box"] for one in patcher["boxes"]}
        assert len(found) == len(patcher["boxes"]), "two boxes have one id"
        for line in patcher["lines"]:
            (source, outlet), (target, inlet) = line["patchline"].values()
            assert outlet < found[source]["numoutlets"]
            assert inlet < found[target]["numinlets"]
        for box in found.values():
            assert len(box["outlettype"]) == box["numoutlets"]


def test_the_builder_refuses_a_cord_that_does_not_fit_and_an_unknown_object(builder: Any) -> None:
    patch = importlib.import_module("patch").Patch(100, 100)
    first, second = patch.object(0, 0, "loadbang"), patch.object(0, 30, "t b b")
    with pytest.raises(ValueError, match="no cord fits"):
        patch.cord(second[2], first)
    with pytest.raises(KeyError):
        patch.object(0, 60, "no-such-object")


@pytest.mark.parametrize("name", FILES)
def test_messages_are_what_the_table_takes(name: str) -> None:
    sent = [box["text"] for box in boxes(name) if box["maxclass"] == "message"]
    commands = [text for text in sent if text.startswith(PREFIX)]
    assert commands
    for text in commands:
        address, *words = shlex.split(text)
        values = [float(word) if re.fullmatch(r"-?\d+\.?\d*", word) else word for word in words]
        BY_ADDRESS[address].call(values)


@pytest.mark.parametrize("name", FILES)
def test_what_is_put_together_is_what_the_table_takes(name: str) -> None:
    for box in boxes(name):
        words = box.get("text", "").split()
        if words[:1] == ["prepend"] and words[1].startswith(PREFIX):
            entry = BY_ADDRESS.get(words[1])
            if entry is None:
                assert words[1] in HEARD  # given on to an outlet
                continue
            given = [float(word) for word in words[2:]]
            missing = len([one for one in entry.arguments if not one.is_optional]) - len(given)
            assert any(_takes(entry, [*given, *[value] * missing]) for value in (*INCOMING, "a"))
        if words[:1] == ["route"]:
            assert {word for word in words if word.startswith("/")} <= HEARD


def _takes(entry: Any, values: list[Any]) -> bool:
    try:
        entry.call(values)
    except ValueError:
        return False
    return True
