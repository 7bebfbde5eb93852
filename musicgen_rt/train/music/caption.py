"""Captions: a clip's facts in natural, varied words, each caption with the facts that it states.

Wordings are composed, not listed: a form (tags, sentence, note, labels) of phrases of words. The
held-out forms and phrases share the words for styles, moods and sounds with the others, and
nothing else, so that they measure understanding and not memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from musicgen_rt.train.music.caption_facts import Facts, choose_facts, fact_sheet
from musicgen_rt.train.music.caption_phrases import Phrases, word_facts
from musicgen_rt.train.music.random_stream import pick, pick_weighted, random_stream
from musicgen_rt.train.music.truth import Truth

Form = Callable[[np.random.Generator, Phrases], str]


@dataclass(frozen=True)
class Caption:
    """A text and the facts it states; see `caption_facts.fact_sheet` for their names."""

    text: str
    facts: Facts


def captions(truth: Truth, seed: int, n: int, held_out: bool = False) -> tuple[Caption, ...]:
    """`n` captions of `truth`; a pure function of its arguments.

    Each draws its own facts and wording. `held_out` words them in ways that never occur without
    it, for evaluation.
    """
    rng = random_stream(seed, f"captions {truth.seed} {held_out}")
    sheet = fact_sheet(truth)
    made = []
    for _ in range(n):
        facts = choose_facts(rng, sheet)
        phrases = word_facts(rng, facts, held_out)
        form = pick_weighted(rng, _HELD_OUT_FORMS if held_out else _FORMS)
        made.append(Caption(_case(rng, _tidy(form(rng, phrases))), facts))
    return tuple(made)


def _tags(rng: np.random.Generator, phrases: Phrases) -> str:
    """Words in any order: "techno, 128 bpm, dark, no drums"."""
    tags = list(phrases.words) + [phrases.strip(item) for item in phrases.present]
    tags += [*phrases.numbers, *phrases.absent]
    rng.shuffle(tags)
    return pick(rng, (", ", ", ", ", ", " ", "; ", " / ")).join(tags)


def _sentence(rng: np.random.Generator, phrases: Phrases) -> str:
    """One sentence: "A dark techno track with a saw lead, in A minor, 128 bpm, no drums."."""
    opening = pick(rng, ("", "", "", "This is ", "Here is "))
    parts = [opening + phrases.subject(rng) + _with(rng, phrases, (" with ", " featuring ", ": "))]
    details = [*phrases.numbers, *phrases.absent]
    rng.shuffle(details)
    return ", ".join([*parts, *details]) + pick(rng, (".", "", ""))


def _note(rng: np.random.Generator, phrases: Phrases) -> str:
    """Two sentences: "Dark techno. Saw lead and pads, no drums, 128 bpm."."""
    first = " ".join(phrases.words) or pick(rng, ("Music", "Instrumental", "A loop"))
    details = [phrases.strip(item) for item in phrases.present]
    details += [*phrases.numbers, *phrases.absent]
    rng.shuffle(details)
    return ". ".join(part for part in (first, ", ".join(details)) if part)


def _labels(rng: np.random.Generator, phrases: Phrases) -> str:
    """A form: "style: techno | mood: dark | with: saw lead"."""
    pairs = [f"{name}: {word}" for name, word in phrases.labelled]
    instruments = ", ".join(phrases.strip(item) for item in phrases.present)
    if instruments:
        pairs.append(f"{pick(rng, ('with', 'instruments', 'sounds'))}: {instruments}")
    pairs += phrases.absent
    rng.shuffle(pairs)
    return pick(rng, (", ", " | ", "; ", "\n")).join(pairs)


def _request(rng: np.random.Generator, phrases: Phrases) -> str:
    """Held out: "Give me a dark techno cut built from a saw lead, minus the drums, please"."""
    opening = pick(rng, ("Give me ", "Could you play ", "I would like to hear ", "Make "))
    parts = [opening + phrases.subject(rng) + _with(rng, phrases, (" built from ", " based on "))]
    parts += [*phrases.numbers, *phrases.absent]
    return ", ".join(parts) + pick(rng, ("", ", please", " for me"))


def _scene(rng: np.random.Generator, phrases: Phrases) -> str:
    """Held out: "You hear a saw lead and pads in a dark techno cut, centred on A minor"."""
    heard = _joined(phrases.present) or "something"
    text = f"{pick(rng, ('You hear', 'Picture', 'Imagine'))} {heard} in {phrases.subject(rng)}"
    return ", ".join([text, *phrases.absent, *phrases.numbers])


def _with(rng: np.random.Generator, phrases: Phrases, links: tuple[str, ...]) -> str:
    return pick(rng, links) + _joined(phrases.present) if phrases.present else ""


def _joined(items: tuple[str, ...]) -> str:
    """ "a", "a and b", "a, b and c"."""
    if len(items) < 2:
        return "".join(items)
    return ", ".join(items[:-1]) + " and " + items[-1]


def _tidy(text: str) -> str:
    return text[:1].upper() + text[1:]


def _case(rng: np.random.Generator, text: str) -> str:
    """As it is, in small letters, or (rarely) in capitals."""
    draw = rng.random()
    if draw < 0.45:
        return text.lower()
    return text.upper() if draw < 0.49 else text


_FORMS: dict[Form, float] = {_tags: 4.0, _sentence: 4.0, _note: 1.5, _labels: 0.7}
_HELD_OUT_FORMS: dict[Form, float] = {_request: 1.0, _scene: 1.0}
