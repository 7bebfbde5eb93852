"""Addresses that say what to play: prompts, parameters, attributes, melody, banks."""

from __future__ import annotations

from dataclasses import replace

from bridge.argument import REQUIRED, Choice, Name, Number, Switch, Whole, Words
from bridge.entry import Answer, Entry
from bridge.table.terms import (
    ATTRIBUTE,
    ATTRIBUTE_VALUES,
    BANK,
    BARS,
    HEARD,
    LEAD_PARAMETERS,
    MAX_PROMPT_CHARS,
    MELODY_LINES,
    MELODY_MODES,
    MELODY_RELEASES,
    PARAMETERS,
    PITCH,
    RAMP,
    SLOT,
    WEIGHT,
    WHEN,
    WHEN_BAR,
)

PROMPT = (
    Entry(
        "prompt/set",
        "Put a text into a slot. Words sent one by one are joined.",
        (
            SLOT,
            Words("text", MAX_PROMPT_CHARS),
            Number("weight", -10, 10, default=1.0, doc="share in the mix"),
            RAMP,
        ),
        HEARD,
        when=WHEN,
        in_patterns=False,
    ),
    Entry(
        "prompt/weight",
        "Change the weight of a prompt, faded over some beats.",
        (SLOT, WEIGHT, RAMP),
        HEARD,
        when=WHEN,
        is_continuous=True,
    ),
    Entry("prompt/clear", "Empty a slot.", (SLOT,), HEARD, when=WHEN),
    Entry(
        "prompt/negative",
        "What to move away from; without a text, nothing.",
        (Words("text", MAX_PROMPT_CHARS, default=None),),
        HEARD,
        in_patterns=False,
    ),
)

PARAM = tuple(
    entry
    for name, argument in PARAMETERS.items()
    for entry in (
        Entry(
            f"param/get/{name}",
            f"The present {name}.",
            answer=Answer((argument,), f"param/get/{name}.reply"),
        ),
        Entry(
            f"param/set/{name}",
            f"{argument.doc[:1].upper()}{argument.doc[1:]}.",
            (replace(argument, default=REQUIRED),),
            HEARD,
            # Running ahead is no sound: it changes at once.
            when=None if name in LEAD_PARAMETERS else WHEN,
            is_continuous=True,
        ),
        Entry(
            f"param/listen/{name}",
            f"Tell the asker of each change of {name} (1), or no more (0).",
            (Switch("is_on"),),
        ),
    )
)

ATTRIBUTES = (
    Entry(
        "attr/set",
        "Ask for an attribute of the music to be there, not to be there, or leave it to the model.",
        (ATTRIBUTE, Choice("value", ATTRIBUTE_VALUES)),
        HEARD,
        when=WHEN,
        needs_model=True,
    ),
    Entry(
        "attr/list",
        "The attributes of the checkpoint, each name followed by its value.",
        answer=Answer((ATTRIBUTE, Choice("value", ATTRIBUTE_VALUES)), "attr/list.reply"),
        needs_model=True,
    ),
)

MELODY = (
    Entry(
        "melody/note_on",
        "A note to follow; velocity 0 lets it go.",
        (PITCH, Whole("velocity", 0, 127)),
        HEARD,
        when=WHEN,
        in_patterns=False,
    ),
    Entry(
        "melody/note_off",
        "Let a note go.",
        (PITCH,),
        HEARD,
        when=WHEN,
        in_patterns=False,
    ),
    Entry(
        "melody/mode",
        "off; follow the notes as they come; loop the notes played; follow the file.",
        (Choice("mode", MELODY_MODES),),
        HEARD,
        when=WHEN,
        needs_model=True,
    ),
    Entry(
        "melody/loop_bars",
        "Length of the loop of notes.",
        (Whole("bars", 1, 64, unit="bars"),),
        HEARD,
        when=WHEN,
        needs_model=True,
    ),
    Entry(
        "melody/line",
        "Which of the notes that sound at once is the melody.",
        (Choice("line", MELODY_LINES),),
        HEARD,
        when=WHEN,
        needs_model=True,
    ),
    Entry(
        "melody/release",
        "What follows the last note let go: a rest, its pitch kept, or freedom.",
        (Choice("release", MELODY_RELEASES),),
        HEARD,
        when=WHEN,
        needs_model=True,
    ),
    Entry(
        "melody/file",
        "Follow a MIDI or audio file of the folder of inputs.",
        (Name("name", doc="with its suffix"),),
        HEARD,
        when=WHEN,
        needs_model=True,
        in_patterns=False,
    ),
    Entry(
        "melody/clear",
        "Forget notes, loop and file.",
        answer=HEARD,
        when=WHEN,
        needs_model=True,
    ),
)

GENERATION = (
    Entry(
        "gen/retry",
        "Play the last bars again with other music in their place.",
        (BARS,),
        HEARD,
        when=WHEN_BAR,
        needs_model=True,
        in_patterns=False,
    ),
    Entry(
        "gen/undo",
        "Go back by some bars, to the controls of then, and go on from there.",
        (BARS,),
        HEARD,
        when=WHEN_BAR,
        needs_model=True,
        in_patterns=False,
    ),
    Entry(
        "gen/infill",
        "Make bars anew between the others, under the present controls: of those to come, or of "
        "the last ones, which are played again. Only with a model of masked codes (MAGNeT).",
        (
            Whole("first", 1, 64, unit="bars", doc="counted from 1, where it takes effect"),
            Whole("last", 1, 64, unit="bars", doc="the last bar that is made anew"),
            Whole("bars", 0, 64, unit="bars", default=0, doc="played again; 0: those to come"),
        ),
        HEARD,
        when=WHEN_BAR,
        needs_model=True,
        in_patterns=False,
    ),
    Entry(
        "gen/freeze",
        "Repeat the last bars (1) until let go (0).",
        (Switch("is_on"), BARS),
        HEARD,
        when=WHEN_BAR,
        needs_model=True,
        in_patterns=False,
    ),
    Entry(
        "gen/continue",
        "Go on from an audio file of the folder of inputs.",
        (Name("name", doc="with its suffix"),),
        HEARD,
        when=WHEN_BAR,
        needs_model=True,
        in_patterns=False,
    ),
    Entry(
        "gen/panic",
        "Begin anew at once: notes and the melody end, attributes are free, parameters as the "
        "model has them, freezes are released, what waits is dropped. The prompts stay.",
        answer=HEARD,
        needs_model=True,
        in_patterns=False,
    ),
)

BANKS = (
    Entry(
        "bank/save",
        "Keep the music and its controls as they are heard now.",
        (BANK,),
        HEARD,
        needs_model=True,
        in_patterns=False,
    ),
    Entry(
        "bank/load",
        "Go on from what a bank keeps.",
        (BANK,),
        HEARD,
        when=WHEN_BAR,
        needs_model=True,
        in_patterns=False,
    ),
    Entry(
        "bank/recall",
        "Play on under the present controls with a bank's music remembered: a section that comes "
        "home, varied. Until it is forgotten, another is recalled or the music goes on elsewhere.",
        (BANK,),
        HEARD,
        when=WHEN_BAR,
        needs_model=True,
        in_patterns=False,
    ),
    Entry(
        "bank/forget",
        "Remember no bank any more.",
        answer=HEARD,
        when=WHEN_BAR,
        needs_model=True,
        in_patterns=False,
    ),
)
