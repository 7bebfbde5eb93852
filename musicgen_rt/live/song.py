"""A song: sections of whole bars, each with what is played in it, as plain checked data.

A section may *recall* an earlier one: it is what that one is, but for what it says itself, and its
opening bars are remembered while it plays. Importing this file loads no torch.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from musicgen_rt.contract.timeline import BEATS_PER_BAR_RANGE, BPM_RANGE
from musicgen_rt.errors import ParameterError
from musicgen_rt.live.prompt import Prompt
from musicgen_rt.live.score import NUM_SLOTS, PARAMETERS, WEIGHT, Parameter

MAX_SECTIONS = 200
MAX_SECONDS = 86_400.0
MAX_NAME_CHARACTERS = 80
NUMBERS = {
    "bars": Parameter(8, 1, 1000, "length in bars", True),
    "bpm": Parameter(120.0, *BPM_RANGE, "tempo"),
    "beats_per_bar": Parameter(4, *BEATS_PER_BAR_RANGE, "beats in a bar", True),
    "transition_bars": Parameter(
        0, 0, 64, "bars over which prompts, numbers and tempo of the section before give way", True
    ),
    "memory_bars": Parameter(2, 1, 64, "opening bars of the recalled section to remember", True),
}
# The window's context is the engine's business, and a recall sets it for its own first window.
SECTION_PARAMETERS = tuple(name for name in PARAMETERS if name != "context_bars")
_KEY = re.compile(r"[A-G](#|b| sharp| flat)? (major|minor)")
_TUNE_BEATS = Parameter(4.0, 0.25, 1024.0, "length of a tune's loop in beats")
_MAX_NOTES = 5000
_MAX_PITCH = 127


@dataclass(frozen=True)
class Tune:
    """Notes (start, length, MIDI pitch) in beats from the section's beginning, in a loop.

    Raises ParameterError for notes that are none or lie outside of the loop.
    """

    notes: tuple[tuple[float, float, int], ...]
    loop_beats: float

    def __post_init__(self) -> None:
        _TUNE_BEATS.check("the loop of a melody, in beats,", self.loop_beats)
        if not 1 <= len(self.notes) <= _MAX_NOTES:
            raise ParameterError(f"a melody of {len(self.notes)} notes: expected 1 to {_MAX_NOTES}")
        for note in self.notes:
            self._check(note)

    def _check(self, note: Sequence[Any]) -> None:
        numbers = [one for one in note if isinstance(one, int | float) and one is not True]
        is_note = len(note) == len(numbers) == 3
        if not is_note or not 0 <= numbers[0] < self.loop_beats or not numbers[1] > 0:
            raise ParameterError(
                f"note {list(note)}: expected [start, length, pitch] in beats, starting within the "
                f"melody's {self.loop_beats:g} beats and longer than 0"
            )
        if not isinstance(note[2], int) or not 0 <= note[2] <= _MAX_PITCH:
            raise ParameterError(f"pitch {note[2]!r}: expected a MIDI note, 0 to {_MAX_PITCH}")


@dataclass(frozen=True)
class Section:
    """A stretch of whole bars. `recall` names an earlier section; None and empty mean: not used.

    `memory_bars` None remembers as many whole bars as the window has room for, up to a default.
    Raises ParameterError (PromptError for texts) naming the section, the value and its range.
    """

    name: str
    bars: int
    prompts: tuple[Prompt, ...]
    bpm: float
    beats_per_bar: int = 4
    negative: str | None = None
    key: str | None = None
    transition_bars: int = 0
    attributes: Mapping[str, bool] = field(default_factory=dict)
    parameters: Mapping[str, float] = field(default_factory=dict)
    melody: Tune | None = None
    recall: str | None = None
    memory_bars: int | None = None

    def __post_init__(self) -> None:
        try:
            self._check()
        except ParameterError as error:
            raise type(error)(f"section {self.name!r}: {error}") from error

    @property
    def texts(self) -> tuple[str, ...]:
        """The prompts as the model reads them: with the key and the tempo, where they do not say.

        Most checkpoints have no other way to hear of a key, and many none to hear of a tempo.
        """
        return tuple(self._text(prompt.text) for prompt in self.prompts)

    def _text(self, text: str) -> str:
        hints = []
        if self.key is not None and self.key.lower() not in text.lower():
            hints.append(self.key)
        if not re.search(r"\bbpm\b", text, re.IGNORECASE):
            hints.append(f"{self.bpm:g} bpm")
        return ", ".join([text, *hints])

    def _check(self) -> None:
        is_named = isinstance(self.name, str) and self.name.strip() and self.name.isprintable()
        if not is_named or len(self.name) > MAX_NAME_CHARACTERS:
            raise ParameterError(f"expected a name of 1 to {MAX_NAME_CHARACTERS} characters")
        for name, number in NUMBERS.items():
            value = getattr(self, name)
            if value is not None:
                # A whole number may have been written as 4.0.
                object.__setattr__(self, name, number.check(name, value))
        if self.transition_bars > self.bars:
            raise ParameterError(
                f"transition_bars is {self.transition_bars}: expected at most its {self.bars} bars"
            )
        if self.key is not None and not _KEY.fullmatch(str(self.key)):
            raise ParameterError(f"key is {self.key!r}: expected one such as 'F# minor'")
        if self.memory_bars is not None and self.recall is None:
            raise ParameterError("memory_bars is given without recall: expected both")
        self._check_mappings()
        self._check_prompts()

    def _check_mappings(self) -> None:
        for name, value in self.parameters.items():
            if name not in SECTION_PARAMETERS:
                raise ParameterError(
                    f"parameter {name!r}: expected one of {', '.join(SECTION_PARAMETERS)}"
                )
            PARAMETERS[name].check(name, value)
        for name, is_on in self.attributes.items():
            if not isinstance(is_on, bool):
                raise ParameterError(f"attribute {name} is {is_on!r}: expected true or false")

    def _check_prompts(self) -> None:
        from musicgen_rt.model.text import check_prompt

        if not 1 <= len(self.prompts) <= NUM_SLOTS:
            raise ParameterError(f"{len(self.prompts)} prompts: expected 1 to {NUM_SLOTS}")
        for prompt in self.prompts:
            WEIGHT.check("the weight of a prompt", prompt.weight)
        if len({prompt.text for prompt in self.prompts}) < len(self.prompts):
            raise ParameterError("a prompt is given twice: expected it once, with more weight")
        own = [prompt.text for prompt in self.prompts]
        for text in own if self.negative is None else [*own, self.negative]:
            check_prompt(text)
        for text in self.texts:
            check_prompt(text)


@dataclass(frozen=True)
class Song:
    """Sections one after the other; each begins on the bar line where the one before ends.

    Raises ParameterError for no sections, names that are not unique, recalls of what has not been
    played yet, and transitions between more prompts than there are places.
    """

    title: str
    sections: tuple[Section, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.sections) <= MAX_SECTIONS:
            raise ParameterError(
                f"the song has {len(self.sections)} sections: expected 1 to {MAX_SECTIONS}"
            )
        self._check_names()
        for before, section in zip(self.sections, self.sections[1:], strict=False):
            places = {*before.texts, *section.texts}
            if section.transition_bars and len(places) > NUM_SLOTS:
                raise ParameterError(
                    f"section {section.name!r}: a transition among {len(places)} prompts, expected "
                    f"at most {NUM_SLOTS} in both sections; set transition_bars to 0, or share some"
                )

    @property
    def first_bars(self) -> tuple[int, ...]:
        """The bar, from 0, at which each section begins."""
        starts = [0]
        for section in self.sections[:-1]:
            starts.append(starts[-1] + section.bars)
        return tuple(starts)

    @property
    def bars(self) -> int:
        """Its length."""
        return sum(section.bars for section in self.sections)

    @property
    def texts(self) -> tuple[str, ...]:
        """Every text that is encoded, each once."""
        found: dict[str, None] = {}
        for section in self.sections:
            found.update(dict.fromkeys(section.texts))
            if section.negative is not None:
                found[section.negative] = None
        return tuple(found)

    def index(self, name: str) -> int:
        """Which section has that name. Raises ValueError."""
        return [section.name for section in self.sections].index(name)

    def to_json(self) -> dict[str, Any]:
        """The song as a value for `json.dumps`."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> Song:
        """The inverse of `to_json`. Raises ParameterError for anything else."""
        try:
            return cls(str(value["title"]), tuple(_section(row) for row in value["sections"]))
        except (AttributeError, KeyError, TypeError) as error:
            raise ParameterError(f"not a song ({error})") from error

    def _check_names(self) -> None:
        counts = Counter(section.name for section in self.sections)
        name, count = counts.most_common(1)[0]
        if count > 1:
            raise ParameterError(
                f"{count} sections are named {name!r}: expected a name each; recall = {name!r} "
                "makes one like another"
            )
        before: list[str] = []
        for section in self.sections:
            if section.recall is not None and section.recall not in before:
                raise ParameterError(self._wrong_recall(section, before))
            before.append(section.name)

    def _wrong_recall(self, section: Section, before: list[str]) -> str:
        known = [one.name for one in self.sections]
        why = "which has not been played by then" if section.recall in known else "which is none"
        expected = f"one of {', '.join(before)}" if before else "none, since it is the first"
        return f"section {section.name!r} recalls {section.recall!r}, {why}: expected {expected}"


def _section(row: Mapping[str, Any]) -> Section:
    values = dict(row)
    tune = values.pop("melody")
    if tune is not None:
        notes = tuple(tuple(note) for note in tune["notes"])
        tune = Tune(notes, tune["loop_beats"])
    return Section(
        **{**values, "prompts": tuple(Prompt(**one) for one in values["prompts"])}, melody=tune
    )
