"""Addresses about time: clock and transport."""

from __future__ import annotations

from dataclasses import replace

from bridge.argument import Choice, Number, When, Whole
from bridge.entry import Answer, Entry
from bridge.table.terms import BEAT_UNITS, HEARD, RAMP, SOURCES, WHEN
from musicgen_rt.contract.timeline import BEATS_PER_BAR_RANGE, BPM_RANGE

CLOCK = (
    Entry(
        "clock/source",
        "Who says where the beats are.",
        (Choice("source", SOURCES),),
        in_patterns=False,
    ),
    Entry(
        "clock/tempo",
        "The tempo.",
        (Number("bpm", *BPM_RANGE, unit="beats a minute"), RAMP),
        HEARD,
        when=WHEN,
        is_continuous=True,
    ),
    Entry(
        "clock/beat",
        "The host's beat at this moment (or at the time tag), for sources that are told it.",
        (
            Number("beat", -1e9, 1e9, unit="beats"),
            Number("bpm", *BPM_RANGE, unit="beats a minute", default=None),
        ),
        in_patterns=False,
    ),
    Entry(
        "clock/signature",
        "Beats in a bar, and the note that is a beat.",
        (
            Whole("beats", *BEATS_PER_BAR_RANGE),
            Whole("unit", BEAT_UNITS[0], BEAT_UNITS[-1], only=BEAT_UNITS, default=4),
        ),
        HEARD,
        when=replace(WHEN, default=When("bar", 1)),
        in_patterns=False,
    ),
    Entry(
        "clock/quantum",
        "Beats after which peers on a shared clock align their bars.",
        (Whole("beats", 1, 64, unit="beats"),),
    ),
    Entry(
        "clock/tap",
        "Tap the tempo: it is set from the third tap on.",
        answer=Answer((Whole("taps", 1, 64), Number("bpm", 0, 999, doc="0: not yet known"))),
        in_patterns=False,
    ),
    Entry(
        "clock/offset_ms",
        "How much later than the host's beats ours are to be heard.",
        (Number("offset_ms", -1000, 1000, unit="ms"),),
        is_continuous=True,
    ),
)

TRANSPORT = (
    Entry(
        "transport/play",
        "Let the music go on. Where a host's clock is followed, `when` counts its beats and bars.",
        answer=HEARD,
        when=WHEN,
        in_patterns=False,
    ),
    Entry(
        "transport/stop",
        "Fade out and stand still.",
        answer=HEARD,
        when=WHEN,
        in_patterns=False,
    ),
    Entry(
        "transport/reset",
        "Begin anew: fresh music from beat 0 under the present controls.",
        answer=HEARD,
        when=WHEN,
        needs_model=True,
        in_patterns=False,
    ),
)
