"""Addresses that play a song: sections of a file, one after the other, or as they are called."""

from __future__ import annotations

from bridge.argument import Name, Number, Text, Whole, Words
from bridge.entry import Answer, Entry
from bridge.table.terms import BEAT, HEARD, MAX_COUNT, WHEN_BAR

MAX_SECTION_CHARS = 80
MAX_SECTIONS = 200

SONG = (
    Entry(
        "song/load",
        "Have a song of the folder of inputs ready: a .toml file of sections, as `render --score` "
        "reads it. One that is being played is over.",
        (Name("name", doc="with its suffix"),),
        Answer(
            (
                Whole("sections", 1, MAX_SECTIONS),
                Whole("bars", 1, MAX_COUNT, unit="bars", doc="of all its sections"),
            )
        ),
        needs_model=True,
        in_patterns=False,
    ),
    Entry(
        "song/play",
        "Play the song from its first section on. Each follows on its bar line, with its prompts, "
        "numbers, tune and parts; tempo and metre too, unless another clock is followed.",
        answer=HEARD,
        when=WHEN_BAR,
        needs_model=True,
        in_patterns=False,
    ),
    Entry(
        "song/section",
        "Play the song from this section on. What it recalls is remembered if it has been played.",
        (Words("section", MAX_SECTION_CHARS, doc="its name"),),
        HEARD,
        when=WHEN_BAR,
        needs_model=True,
        in_patterns=False,
    ),
    Entry(
        "song/stop",
        "No section follows any more; the music goes on as it is.",
        answer=HEARD,
        when=WHEN_BAR,
        needs_model=True,
        in_patterns=False,
    ),
)

SECTION_EVENT: tuple[Text | Whole | Number, ...] = (
    Text("section", MAX_SECTION_CHARS, doc="empty: the song is over"),
    Whole("number", 0, MAX_SECTIONS, doc="of the section, from 1"),
    BEAT,
    Whole("bars", 0, 1000, unit="bars", doc="its length"),
)
