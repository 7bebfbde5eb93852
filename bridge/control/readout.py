"""The present values of the table's entries, where they have any."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from bridge.control.state import State
from bridge.entry import Entry
from bridge.table.terms import PARAMETERS

# By path: the keys of the state that hold the usual arguments.
_KEYS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        **{f"param/set/{name}": (f"param/{name}",) for name in PARAMETERS},
        "prompt/negative": ("negative",),
        "melody/mode": ("melody/mode",),
        "melody/loop_bars": ("melody/loop_bars",),
        "melody/line": ("melody/line",),
        "melody/release": ("melody/release",),
        "clock/source": ("clock/source",),
        "clock/tempo": ("clock/bpm",),
        "clock/signature": ("clock/beats",),
        "clock/quantum": ("clock/quantum",),
        "clock/offset_ms": ("clock/offset_ms",),
        "gen/freeze": ("freeze/is_on",),
        "audio/gain_db": ("audio/gain_db",),
        "audio/mute": ("audio/is_muted",),
        "audio/record": ("record/is_on",),
        "audio/device": ("device",),
    }
)
# States that have one value, whichever key of theirs is asked for.
_SINGLE_STATES = (
    *("negative", "melody", "clock", "transport"),
    *("freeze", "bank", "audio", "record", "device"),
)


def values_of(state: State, entry: Entry) -> tuple[Any, ...] | None:
    """The values as the entry's arguments, None if it has none."""
    keys = _KEYS.get(entry.path)
    if keys is not None:
        return tuple("" if state[key] is None else state[key] for key in keys)
    group, _, name = entry.path.partition("/")
    if group == "state" and name in _SINGLE_STATES:
        return state.message_of(name).args
    return None
