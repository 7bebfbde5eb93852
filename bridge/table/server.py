"""Addresses about the daemon itself."""

from __future__ import annotations

from bridge.argument import Choice, Number, Switch, Text, Whole
from bridge.entry import Answer, Entry
from bridge.table.terms import BEATS, CONTROL, FOLLOWING, MAX_COUNT
from musicgen_rt.contract.timeline import BPM_RANGE

SERVER = (
    Entry(
        "status",
        "How it is going, in one message.",
        answer=Answer(
            (
                Choice("phase", ("loading", "playing", "stopped", "failed")),
                Text("model", 200),
                Number("progress", 0, 1, doc="of loading"),
                Whole("bar", 0, MAX_COUNT, doc="from 1 on"),
                Whole("beat", 0, 16, doc="from 1 on"),
                Number("bpm", *BPM_RANGE),
                Number("lead_ms", 0, 1e9, doc="music made but not yet heard"),
                Whole("underruns", 0, MAX_COUNT),
                Switch("is_fallback", doc="the last good bars are looping"),
                Number("steps_per_second", 0, 1e6),
                Number("peak_db", -120, 120),
                *FOLLOWING,
                *BEATS,
            ),
            "status.reply",
        ),
    ),
    Entry(
        "version",
        "Which program and which protocol this is.",
        answer=Answer(
            (Text("program", 64), Text("version", 64), Whole("protocol", 0, MAX_COUNT)),
            "version.reply",
        ),
    ),
    Entry(
        "sync",
        "Answered when everything asked before has been answered.",
        (Whole("id", -MAX_COUNT, MAX_COUNT),),
        Answer((Whole("id", -MAX_COUNT, MAX_COUNT),), "synced"),
    ),
    Entry(
        "notify",
        "Subscribe (1) or leave (0). All state comes first, then changes and events, until the "
        "lease ends; any message of the client renews it. Port and host say where to send instead; "
        "the host must be the sender's own.",
        (
            Switch("is_on"),
            Text("host", 64, default=None),
            Whole("port", 1, 65535, default=None),
        ),
        Answer((Whole("client", 0, MAX_COUNT), Number("lease_seconds", 0, 86400, unit="s"))),
        in_patterns=False,
    ),
    Entry(
        "refresh",
        "Send all state to the asker.",
        answer=Answer((Whole("messages", 0, 1000),)),
        in_patterns=False,
    ),
    Entry("dump_osc", "Log what arrives.", (Switch("is_on"),), in_patterns=False),
    Entry(
        "clear_sched",
        "Drop all bundles that wait for their time.",
        answer=Answer((Whole("messages", 0, MAX_COUNT),)),
        in_patterns=False,
    ),
    Entry(
        "auth",
        "Beyond loopback only: without an argument ask for a challenge; the answer is the "
        "HMAC-SHA256 of the challenge under the token, in hexadecimal.",
        (Text("answer", 64, default=None),),
        Answer((Text("challenge", 64),), "auth.challenge"),
        in_patterns=False,
    ),
    Entry("quit", "End the daemon, with a short fade.", in_patterns=False),
)

# The daemon's MIDI input does these.
MIDI = (
    Entry(
        "midi/learn",
        "Let the next controller that is moved move this control.",
        (CONTROL,),
        in_patterns=False,
    ),
    Entry("midi/forget", "Undo midi/learn.", (CONTROL,), in_patterns=False),
    Entry("midi/panic", "Let go of all notes that came over MIDI.", in_patterns=False),
    Entry(
        "midi/list",
        "The MIDI inputs that are open.",
        answer=Answer((Text("port", 200),), "midi/list.reply"),
    ),
)
