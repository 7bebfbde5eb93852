"""Addresses about what leaves: level, recording, devices."""

from __future__ import annotations

from bridge.argument import Name, Number, Switch, Text, Whole
from bridge.entry import Answer, Entry
from bridge.levels import GAIN_RANGE_DB
from bridge.table.terms import HEARD, WHEN

MAX_DEVICES = 32

AUDIO = (
    Entry(
        "audio/gain_db",
        "Output level, before the limiter.",
        (
            Number("gain_db", *GAIN_RANGE_DB, unit="dB"),
            Whole("ramp_ms", 0, 60_000, unit="ms", default=20),
        ),
        HEARD,
        when=WHEN,
        is_continuous=True,
    ),
    Entry("audio/mute", "Silence (1), or sound (0).", (Switch("is_on"),), HEARD, when=WHEN),
    Entry(
        "audio/record",
        "Write what is heard to a file of the folder of recordings (1), or end it (0); and beside "
        "it, in NAME.jsonl, what was asked and what happened, by beats.",
        (
            Switch("is_on"),
            Name("name", doc="ends in .wav or .flac (else .wav); default: numbered", default=None),
        ),
        Answer((Text("name", 64), Number("seconds", 0, 1e9))),
        in_patterns=False,
    ),
    Entry(
        "audio/devices",
        f"Names of the output devices, at most {MAX_DEVICES}.",
        answer=Answer((Text("name", 200),), "audio/devices.reply"),
    ),
    Entry(
        "audio/device",
        "Play through another device; a part of its name will do; without one, the default.",
        (Text("name", 200, default=None),),
        in_patterns=False,
    ),
)
