"""What the beginning of a section changes: edits of the score, whoever plays the song."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from musicgen_rt.live.controls import Edit
from musicgen_rt.live.score import NUM_SLOTS, PARAMETERS, Score
from musicgen_rt.live.song import Section, Song

# The window in which something recalled begins keeps so much of what came before it.
_BARS_KEPT_AT_RECALL = 1


class Places:
    """Which prompt stands in which of the slots, as sections come and go."""

    def __init__(self, slots: Mapping[str, int] | None = None) -> None:
        """`slots` are those that are taken already, by text."""
        self._slots = dict(slots or {})

    @classmethod
    def of(cls, score: Score, frame: int) -> Places:
        """The places as a score has them at a frame: what weighs nothing may be replaced."""
        taken = {}
        for slot in range(NUM_SLOTS):
            text = score.at(f"prompt/{slot}", frame)
            if text is not None and score.target_at(f"weight/{slot}", frame):
                # One that stands twice stays once at most.
                taken[text if text not in taken else f"{text} ({slot})"] = slot
        return cls(taken)

    def change(self, section: Section, ramp_frames: int) -> Iterator[Edit]:
        """The edits that bring the prompts of a section in, and those before it out.

        Where the slots do not suffice for a fade the old ones give way at once.
        """
        texts = section.texts
        free = [slot for slot in range(NUM_SLOTS) if slot not in self._slots.values()]
        leaving = {text: slot for text, slot in self._slots.items() if text not in texts}
        num_new = sum(text not in self._slots for text in texts)
        if not ramp_frames or num_new > len(free):
            free += leaving.values()
            free.sort()
        new = {text: self._slots[text] for text in texts if text in self._slots}
        for prompt, text in zip(section.prompts, texts, strict=True):
            if text not in new:
                new[text] = free.pop(0)
                yield Edit(f"prompt/{new[text]}", text)
            yield Edit(f"weight/{new[text]}", prompt.weight, ramp_frames)
        for slot in leaving.values():
            if slot not in new.values():
                yield Edit(f"weight/{slot}", 0.0, ramp_frames)
        self._slots = new


def section_edits(
    song: Song,
    section: Section,
    before: Section | None,
    places: Places,
    base: Mapping[str, float],
    ramp_frames: int,
) -> list[Edit]:
    """Prompts, attributes and numbers of a section that follows `before`.

    `base` are the numbers where a section does not name them. The tune and what is remembered are
    not among these edits.
    """
    return [
        *places.change(section, ramp_frames),
        *_condition_edits(song, section, before),
        *_number_edits(song, section, base, ramp_frames),
    ]


def recall_edits(usual_context_bars: int) -> tuple[tuple[Edit, ...], tuple[Edit, ...]]:
    """A window of its own for what is recalled, at a frame and at the one after it.

    Little of what was just played stays in that one, so that what is remembered leads.
    """
    here = (Edit("roll", True), Edit("context_bars", _BARS_KEPT_AT_RECALL))
    return here, (Edit("context_bars", usual_context_bars),)


def _condition_edits(song: Song, section: Section, before: Section | None) -> Iterator[Edit]:
    """Attributes that any section names, and the negative prompt where it changes."""
    for name in sorted({name for one in song.sections for name in one.attributes}):
        yield Edit(f"attribute/{name}", section.attributes.get(name))
    if section.negative != (None if before is None else before.negative):
        yield Edit("negative", section.negative)


def _number_edits(
    song: Song, section: Section, base: Mapping[str, float], ramp_frames: int
) -> Iterator[Edit]:
    """Numbers that any section names; whole ones change at once."""
    for name in sorted({name for one in song.sections for name in one.parameters}):
        parameter = PARAMETERS[name]
        value = section.parameters.get(name, base.get(name, parameter.default))
        yield Edit(name, parameter.check(name, value), 0 if parameter.is_whole else ramp_frames)
