"""The session for Open Stage Control: what its controls would send is taken by the table."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from bridge.protocol import BY_ADDRESS

FOLDER = Path(__file__).resolve().parents[2] / "patches" / "open-stage-control"
SESSION = json.loads((FOLDER / "musicgen-rt.json").read_text())
WIDGETS: list[dict[str, Any]] = SESSION["content"]["widgets"]
# What shows something, or runs a script, sends nothing when it is touched.
CONTROLS = [widget for widget in WIDGETS if widget["type"] not in ("text", "variable")]


def test_the_file_is_what_the_builder_writes() -> None:
    assert runpy.run_path(str(FOLDER / "build.py"))["session"]() == SESSION


def test_it_has_the_shape_of_a_session() -> None:
    assert SESSION["type"] == "session"
    assert SESSION["content"]["type"] == "root"
    names = [widget["id"] for widget in WIDGETS]
    assert len(set(names)) == len(names)


def test_no_control_covers_another() -> None:
    places = [
        tuple(widget[side] for side in ("left", "top", "width", "height"))
        for widget in WIDGETS
        if widget["type"] != "variable"
    ]
    for index, (left, top, width, height) in enumerate(places):
        for x, y, w, h in places[index + 1 :]:
            assert x >= left + width or left >= x + w or y >= top + height or top >= y + h


def values_of(widget: dict[str, Any]) -> list[list[Any]]:
    """What a widget sends at each end of what it does."""
    given = widget["preArgs"]
    match widget["type"]:
        case "button":
            assert widget["mode"] == "momentary"  # any other adds a value
            return [given]
        case "input":
            return [[*given, widget["default"]]]
        case "keyboard":
            last = widget["start"] + widget["keys"] - 1
            return [[*given, widget["start"], widget["on"]], [*given, last, widget["off"]]]
        case _:
            return [[*given, widget["range"][end]] for end in ("min", "max")]


@pytest.mark.parametrize("widget", CONTROLS, ids=lambda widget: widget["id"])
def test_a_control_sends_what_the_table_takes(widget: dict[str, Any]) -> None:
    for values in values_of(widget):
        BY_ADDRESS[widget["address"]].call(values)
