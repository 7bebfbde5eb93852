"""The wire protocol as one table: every address, its arguments, ranges, replies and meaning.

OSC, ZeroMQ and HTTP, range checks and the texts of `/fail`, OSCQuery, the printed documentation and
the command line are derived from it. What is not here does not exist. `bridge/table/` holds its
groups.
"""

from __future__ import annotations

import difflib
from functools import lru_cache

from bridge.entry import PREFIX, Entry
from bridge.table.events import EVENTS, STATE
from bridge.table.music import ATTRIBUTES, BANKS, GENERATION, MELODY, PARAM, PROMPT
from bridge.table.output import AUDIO
from bridge.table.server import MIDI, SERVER
from bridge.table.song import SONG
from bridge.table.time import CLOCK, TRANSPORT

PROTOCOL_VERSION = 1

COMMANDS: tuple[Entry, ...] = (
    *SERVER,
    *PROMPT,
    *PARAM,
    *ATTRIBUTES,
    *MELODY,
    *CLOCK,
    *TRANSPORT,
    *GENERATION,
    *BANKS,
    *SONG,
    *AUDIO,
    *MIDI,
)
OUTGOING: tuple[Entry, ...] = (*EVENTS, *STATE)

BY_ADDRESS: dict[str, Entry] = {entry.address: entry for entry in COMMANDS}
PATTERN_ADDRESSES: tuple[str, ...] = tuple(entry.address for entry in COMMANDS if entry.in_patterns)

# Longer ones are not slips of the hand, and comparing them takes time.
_MAX_SLIP_CHARS = 48


@lru_cache(maxsize=256)
def unknown_text(address: str) -> str:
    """What to say of an address that does not exist, with the one that was probably meant."""
    close = []
    if len(address) <= _MAX_SLIP_CHARS:
        close = difflib.get_close_matches(address, BY_ADDRESS, n=1, cutoff=0.75)
    if close:
        return f"unknown address: did you mean {close[0]}?"
    return f"unknown address: all begin with {PREFIX}; `musicgen-rt protocol` lists them"
