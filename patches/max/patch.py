"""A Max patch as plain data: boxes, cords, and the JSON that Max reads.

Max works out by itself what inlets and outlets an object has, but drops a cord to one that is not
there without a word. So every object that is used is in one table, and a cord that does not fit is
refused when the patch is built.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

# The number of inlets and outlets by the words of the object's text.
Ports = Callable[[list[str]], tuple[int, int]]


def _fixed(inlets: int, outlets: int) -> Ports:
    return lambda words: (inlets, outlets)


def _list_object(words: list[str]) -> tuple[int, int]:
    return len(words) - 1, 1


OBJECTS: Final[dict[str, Ports]] = {
    "append": _fixed(1, 1),
    "change": _fixed(1, 3),
    "deferlow": _fixed(1, 1),
    "delay": _fixed(2, 1),
    "gate": _fixed(2, 1),
    "inlet": _fixed(0, 1),
    "live.observer": _fixed(2, 2),
    "live.path": _fixed(1, 3),
    "live.thisdevice": _fixed(1, 3),
    "loadbang": _fixed(1, 1),
    "metro": _fixed(2, 1),
    "mgrt": _fixed(2, 3),
    "midiin": _fixed(1, 1),
    "midiout": _fixed(1, 0),
    "midiparse": _fixed(1, 8),
    "notein": _fixed(1, 3),
    "outlet": _fixed(1, 0),
    "pack": _list_object,
    "patcherargs": _fixed(1, 2),
    "prepend": _fixed(1, 1),
    "print": _fixed(1, 0),
    "route": lambda words: (len(words), len(words)),
    "scale": _fixed(6, 1),
    "sel": lambda words: (1 if len(words) > 2 else 2, len(words)),
    "s": _fixed(1, 0),
    "r": _fixed(0, 1),
    "makenote": _fixed(3, 2),
    "sprintf": lambda words: (max(1, sum(word.startswith("%") for word in words)), 1),
    "t": lambda words: (1, len(words) - 1),
    "tosymbol": _fixed(1, 1),
    "udpreceive": _fixed(1, 1),
    "udpsend": _fixed(1, 0),
    "unpack": lambda words: (1, len(words) - 1),
}

# Boxes with a face: inlets, outlets.
FACES: Final[dict[str, tuple[int, int]]] = {
    "button": (1, 1),
    "comment": (1, 0),
    "flonum": (1, 2),
    "kslider": (2, 2),
    "live.dial": (1, 2),
    "live.toggle": (1, 1),
    "message": (2, 1),
    "number": (1, 2),
    "pictslider": (2, 2),
    "slider": (1, 1),
    "textedit": (1, 4),
    "toggle": (1, 1),
}

_INLET_OUTLET: Final = ("inlet", "outlet")


@dataclass(frozen=True)
class Box:
    """A box of a patch, by its number; `box[1]` is its second outlet (or inlet)."""

    number: int
    inlets: int
    outlets: int

    def __getitem__(self, port: int) -> tuple[Box, int]:
        return self, port


class Patch:
    """A patch that is being built."""

    def __init__(self, width: int, height: int, **attributes: Any) -> None:
        self._size = (width, height)
        self._attributes = attributes
        self._boxes: list[dict[str, Any]] = []
        self._cords: list[dict[str, Any]] = []

    def object(self, x: int, y: int, text: str, comment: str = "") -> Box:
        """An object by its text. Raises KeyError for one that is not in the table."""
        words = text.split()
        ports = OBJECTS[words[0]](words)
        if words[0] in _INLET_OUTLET:
            return self._add(words[0], ports, (x, y, 30, 30), comment=comment)
        return self._add("newobj", ports, (x, y, max(40, 7 * len(text) + 16), 22), text=text)

    def inside(self, x: int, y: int, name: str, patch: Patch) -> Box:
        """Another patch as an object of this one."""
        kinds = [box["box"]["maxclass"] for box in patch._boxes]
        ports = kinds.count("inlet"), kinds.count("outlet")
        rect = (x, y, 7 * len(name) + 40, 22)
        return self._add("newobj", ports, rect, text=f"p {name}", patcher=patch.data())

    def message(self, x: int, y: int, text: str) -> Box:
        """A message box."""
        width = max(32, 7 * len(text) + 12)
        return self._add("message", FACES["message"], (x, y, width, 22), text=text)

    def comment(self, x: int, y: int, text: str, width: int = 0) -> Box:
        """Words for the reader."""
        rect = (x, y, width or 7 * len(text) + 10, 20)
        return self._add("comment", FACES["comment"], rect, text=text)

    def face(self, kind: str, x: int, y: int, width: int, height: int, **attributes: Any) -> Box:
        """A box that is seen or played. Raises KeyError for a kind that is not in the table."""
        return self._add(kind, FACES[kind], (x, y, width, height), **attributes)

    def cord(self, source: Box | tuple[Box, int], *targets: Box | tuple[Box, int]) -> None:
        """Cords from one outlet. Raises ValueError where an inlet or outlet is missing."""
        box, outlet = source if isinstance(source, tuple) else (source, 0)
        for target in targets:
            end, inlet = target if isinstance(target, tuple) else (target, 0)
            if not (0 <= outlet < box.outlets and 0 <= inlet < end.inlets):
                raise ValueError(f"no cord fits from {box}[{outlet}] to {end}[{inlet}]")
            ends = {"source": [_id(box), outlet], "destination": [_id(end), inlet]}
            self._cords.append({"patchline": ends})

    def chain(self, *boxes: Box) -> None:
        """Cords from first outlet to first inlet, one after the other."""
        for source, target in pairwise(boxes):
            self.cord(source, target)

    def data(self) -> dict[str, Any]:
        """The patch as Max stores it."""
        return {
            "fileversion": 1,
            "appversion": {"major": 8, "minor": 5, "revision": 0, "architecture": "x64"},
            "classnamespace": "box",
            "rect": [80.0, 100.0, *map(float, self._size)],
            **self._attributes,
            "boxes": self._boxes,
            "lines": self._cords,
        }

    def text(self) -> str:
        """The patch as the JSON of a file."""
        return json.dumps({"patcher": self.data()}, indent=1) + "\n"

    def _add(
        self, kind: str, ports: tuple[int, int], rect: tuple[int, ...], **attributes: Any
    ) -> Box:
        box = Box(len(self._boxes) + 1, *ports)
        data = {
            "id": _id(box),
            "maxclass": kind,
            "numinlets": box.inlets,
            "numoutlets": box.outlets,
            "outlettype": [""] * box.outlets,
            "patching_rect": [float(value) for value in rect],
            **attributes,
        }
        self._boxes.append({"box": data})
        return box


def _id(box: Box) -> str:
    return f"obj-{box.number}"
