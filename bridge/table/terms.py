"""What several addresses share: ranges, parameters and arguments."""

from __future__ import annotations

from bridge.argument import (
    NOW,
    Argument,
    Choice,
    Number,
    Switch,
    Text,
    When,
    WhenArgument,
    Whole,
)
from bridge.entry import Answer

MAX_PROMPT_CHARS = 2000
NUM_SLOTS = 8
NUM_BANKS = 128
SOURCES = ("internal", "link", "midi", "jack", "osc")
# How the clock source is followed.
FOLLOWING: tuple[Argument, ...] = (
    Choice("clock_source", SOURCES),
    Switch("is_locked", doc="its beats are known"),
    Number("jitter_ms", 0, 1e9, unit="ms", doc="of what arrives, around what was expected"),
    Number("drift_ppm", -1e9, 1e9, doc="how much faster than the host's clock the output runs"),
    Number("error_ms", -1e9, 1e9, unit="ms", doc="by how much its beats are ahead of ours"),
)
# How the music's own beats are heard and brought onto the session's.
BEATS: tuple[Argument, ...] = (
    Choice("lock", ("off", "searching", "locked", "holding")),
    Number("confidence", 0, 1, doc="how surely its beats are heard"),
    Number("late_ms", -1e6, 1e6, unit="ms", doc="how late they were before they were moved"),
)
MELODY_LINES = ("top", "low", "last", "strongest")
MELODY_RELEASES = ("rest", "keep", "free")
MELODY_MODES = ("off", "follow", "loop", "file")
ATTRIBUTE_VALUES = ("on", "off", "free")
BEAT_UNITS = (2, 4, 8, 16)
MAX_COUNT = 2**31 - 1  # what an OSC client without 64-bit numbers can read

PARAMETERS: dict[str, Argument] = {
    one.name: one
    for one in (
        Number("temperature", 0, 10, default=1.0, doc="randomness of sampling; 0 is greedy"),
        Whole("top_k", 0, 65536, default=250, doc="sample among the k likeliest tokens; 0 is off"),
        Number("top_p", 0, 1, default=0.0, doc="sample from the likeliest of this mass; 0 is off"),
        Number("cfg", 0, 30, default=3.0, doc="guidance: how closely to follow; 1 is off"),
        Number("cfg_melody", 0, 30, default=1.0, doc="weight of the text over the melody"),
        Whole("seed", 0, MAX_COUNT, default=0, doc="seed of the sampling noise"),
        Number("lead_ms", 100, 20000, unit="ms", default=2000.0, doc="how far to run ahead"),
        Whole("context_bars", 1, 64, unit="bars", default=4, doc="bars kept when the window rolls"),
        Whole("lock", 0, 1, default=1, doc="bring what is heard onto the session's beats (1)"),
        Whole("ask_tempo", 0, 1, default=1, doc="add the tempo to prompts, if the model needs it"),
    )
}

LEAD_PARAMETERS = ("lead_ms", "context_bars", "lock", "ask_tempo")

WHEN = WhenArgument("when", default=NOW, doc="now, beat, bar, or n: next multiple of n bars")
WHEN_BAR = WhenArgument(
    "when",
    bars_only=True,
    default=When("bar", 1),
    doc="bar, or n: on the next bar line that is a multiple of n",
)
BEAT = Number("beat", -1e9, 1e9, unit="beats", doc="the session's beat from which it is heard")
ANSWERS = Whole("requests", 1, MAX_COUNT, doc="how many requests this answers")
HEARD = Answer((BEAT, ANSWERS))
SLOT = Whole("slot", 0, NUM_SLOTS - 1, doc="place of a prompt")
WEIGHT = Number("weight", -10, 10, doc="share in the mix; 0 costs nothing")
RAMP = Number("ramp_beats", 0, 1024, unit="beats", default=0.0, doc="how long to fade")
BARS = Whole("bars", 1, 64, unit="bars", default=1)
BANK = Whole("bank", 0, NUM_BANKS - 1)
PITCH = Whole("pitch", 0, 127, doc="MIDI note number")
ATTRIBUTE = Text("name", 32, doc="what the checkpoint names: drums, bass, ...")
CONTROL = Text("control", 64, doc="a parameter, as param/cfg, or prompt/weight/0")
