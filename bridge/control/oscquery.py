"""The protocol's table as OSCQuery's JSON (the proposal of 2018, github.com/Vidvox)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bridge.entry import Entry
from bridge.protocol import COMMANDS, OUTGOING

READ, WRITE, READ_WRITE = 1, 2, 3
ATTRIBUTES = ("FULL_PATH", "CONTENTS", "TYPE", "ACCESS", "RANGE", "DESCRIPTION", "UNIT", "VALUE")

Values = Callable[[Entry], tuple[Any, ...] | None]


def host_info(name: str, osc_port: int) -> dict[str, Any]:
    """What this server is and what it can tell."""
    return {
        "NAME": name,
        "OSC_PORT": osc_port,
        "OSC_TRANSPORT": "UDP",
        "EXTENSIONS": {
            attribute: True
            for attribute in ATTRIBUTES
            if attribute not in ("FULL_PATH", "CONTENTS")
        },
    }


class QueryTree:
    """The address space as a tree, with values as they are when it is asked."""

    def __init__(self, values: Values) -> None:
        """`values` gives the present values of an entry, None if it has none."""
        self._values = values
        self._entries: Mapping[str, Entry] = {
            entry.address: entry for entry in (*COMMANDS, *OUTGOING)
        }

    def node(self, path: str) -> dict[str, Any] | None:
        """The node at a path with all below it, None if there is none."""
        path = path.rstrip("/") or "/"
        node: dict[str, Any] = {"FULL_PATH": path, "ACCESS": 0}
        entry = self._entries.get(path)
        if entry is not None:
            node |= self._own(entry)
        stem = path.rstrip("/") + "/"
        names = dict.fromkeys(
            address[len(stem) :].partition("/")[0]
            for address in self._entries
            if address.startswith(stem)
        )
        if names:
            node["CONTENTS"] = {name: self.node(stem + name) for name in names}
            node.setdefault("DESCRIPTION", "")
        return node if names or entry is not None else None

    def _own(self, entry: Entry) -> dict[str, Any]:
        arguments = entry.usual_arguments
        values = self._values(entry)
        access = READ_WRITE if values is not None else WRITE
        own: dict[str, Any] = {
            "TYPE": "".join(argument.osc_tag for argument in arguments),
            "ACCESS": READ if entry.is_event else access,
            "DESCRIPTION": f"{entry.doc} [{entry.usage}]".strip(),
        }
        if arguments:
            own["RANGE"] = [argument.osc_range or {} for argument in arguments]
            own["UNIT"] = [argument.unit for argument in arguments]
        if values is not None:
            own["VALUE"] = [int(one) if isinstance(one, bool) else one for one in values]
        return own
