"""What subscribers are told: events, and each state that has changed."""

from __future__ import annotations

from bridge.argument import Argument, Choice, Number, Switch, Text, Whole
from bridge.entry import Entry
from bridge.table.song import MAX_SECTION_CHARS, SECTION_EVENT
from bridge.table.terms import (
    ATTRIBUTE,
    ATTRIBUTE_VALUES,
    BEAT_UNITS,
    BEATS,
    FOLLOWING,
    MAX_COUNT,
    MAX_PROMPT_CHARS,
    MELODY_LINES,
    MELODY_MODES,
    MELODY_RELEASES,
    NUM_BANKS,
    SLOT,
    SOURCES,
    WEIGHT,
)
from musicgen_rt.contract.timeline import BEATS_PER_BAR_RANGE, BPM_RANGE

_BPM = Number("bpm", *BPM_RANGE)
_LEAD = Number("lead_ms", 0, 1e9, unit="ms", doc="music made but not yet heard")
_LEVEL_RANGE = (-120, 120)


def _event(path: str, doc: str, *arguments: Argument) -> Entry:
    return Entry(path, doc, arguments, is_event=True, in_patterns=False)


EVENTS = (
    _event(
        "startup",
        "The model is ready.",
        Text("model", 200),
        Number("seconds", 0, 1e6, unit="s", doc="how long it took to load"),
    ),
    _event("progress", "Of loading.", Number("fraction", 0, 1), Text("text", 200)),
    _event(
        "heartbeat",
        "Once a second.",
        Choice("phase", ("loading", "playing", "stopped", "failed")),
        _LEAD,
        Number("steps_per_second", 0, 1e6),
        Whole("underruns", 0, MAX_COUNT),
        Number("peak_db", *_LEVEL_RANGE, unit="dBFS"),
        Number("rms_db", *_LEVEL_RANGE, unit="dBFS"),
    ),
    _event(
        "beat",
        "A beat is heard. Bars and beats count from 1, as musicians do.",
        Whole("bar", -MAX_COUNT, MAX_COUNT),
        Whole("beat", 1, BEATS_PER_BAR_RANGE[1]),
        _BPM,
    ),
    _event(
        "clock",
        "The clock source is found or lost; and once a second while one is followed.",
        *FOLLOWING,
    ),
    _event("beats", "The music's own beats are heard otherwise than before.", *BEATS),
    _event(
        "chunk",
        "New music lies ready.",
        Whole("bar", -MAX_COUNT, MAX_COUNT, doc="in which it ends"),
        _LEAD,
        Number("bars", 0, 1e6, doc="its length"),
    ),
    _event(
        "section",
        "A section of the song is played from a beat on, told as it is made, and again if its line "
        "moves; or none any more.",
        *SECTION_EVENT,
    ),
    _event("underrun", "The output ran dry.", Whole("count", 0, MAX_COUNT, doc="since the start")),
    _event("fallback", "The last good bars are looping (1), or no more (0).", Switch("is_on")),
    _event(
        "late",
        "To the sender: it was done, but later than its time tag.",
        Text("address", 255),
        Number("late_ms", 0, 1e12, unit="ms"),
    ),
    _event(
        "latency",
        "From a command to its sound, over the last commands.",
        Number("p50", 0, 1e9, unit="ms"),
        Number("p95", 0, 1e9, unit="ms"),
    ),
    _event(
        "error", "Something went wrong; the music goes on.", Text("where", 64), Text("text", 400)
    ),
    _event("suggestion/bpm", "The tempo that the prompt seems to ask for.", _BPM),
)

STATE = (
    _event("state/prompt", "", SLOT, Text("text", MAX_PROMPT_CHARS, doc="empty: none"), WEIGHT),
    _event("state/negative", "", Text("text", MAX_PROMPT_CHARS, doc="empty: none")),
    _event("state/param", "", Text("name", 32), Number("value", -1e12, 1e12)),
    _event("state/attr", "", ATTRIBUTE, Choice("value", ATTRIBUTE_VALUES)),
    _event(
        "state/melody",
        "",
        Choice("mode", MELODY_MODES),
        Whole("loop_bars", 1, 64),
        Text("file", 64, doc="empty: none"),
        Choice("line", MELODY_LINES),
        Choice("release", MELODY_RELEASES),
    ),
    _event(
        "state/clock",
        "",
        Choice("source", SOURCES),
        _BPM,
        Whole("beats", *BEATS_PER_BAR_RANGE),
        Whole("unit", BEAT_UNITS[0], BEAT_UNITS[-1], only=BEAT_UNITS),
        Whole("quantum", 1, 64),
        Number("offset_ms", -1000, 1000),
    ),
    _event("state/transport", "", Switch("is_playing")),
    _event("state/freeze", "", Switch("is_on"), Whole("bars", 1, 64)),
    _event(
        "state/bank", "The bank saved or loaded last, -1: none.", Whole("bank", -1, NUM_BANKS - 1)
    ),
    _event(
        "state/song",
        "",
        Text("name", 64, doc="the file; empty: none"),
        Text("section", MAX_SECTION_CHARS, doc="empty: none is played"),
    ),
    _event("state/audio", "", Number("gain_db", -96, 12), Switch("is_muted")),
    _event("state/record", "", Switch("is_on"), Text("name", 64, doc="empty: none")),
    _event("state/device", "", Text("name", 200)),
)
