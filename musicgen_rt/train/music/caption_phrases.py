"""Facts as phrases: the words that the forms of captions are built of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicgen_rt.train.music.caption_facts import Facts
from musicgen_rt.train.music.caption_words import (
    ABSENCE_WORDS,
    BPM_WORDS,
    HELD_OUT_ABSENCE_WORDS,
    HELD_OUT_BPM_WORDS,
    HELD_OUT_KEY_WORDS,
    HELD_OUT_NOUNS,
    KEY_WORDS,
    METER_WORDS,
    MOOD_WORDS,
    NOUNS,
    ROLE_WORDS,
    SOUND_WORDS,
    STYLE_WORDS,
    TEMPO_WORDS,
)
from musicgen_rt.train.music.plan import ROLES
from musicgen_rt.train.music.random_stream import pick
from musicgen_rt.train.music.theory import PITCH_CLASS_ALIASES, PITCH_CLASS_NAMES

_ARTICLES = ("a ", "an ")


@dataclass(frozen=True)
class Phrases:
    """One caption's phrases, each stating one fact.

    `words` mood, tempo and style, in the order of a noun phrase; `numbers` bpm, key, meter and a
    changing tempo;
    `present` and `absent` roles; `labelled` (name, value) pairs of all but the roles.
    """

    words: tuple[str, ...]
    numbers: tuple[str, ...]
    present: tuple[str, ...]
    absent: tuple[str, ...]
    labelled: tuple[tuple[str, str], ...]
    noun: str

    def subject(self, rng: np.random.Generator) -> str:
        """The noun phrase: "a dark techno track", at times without its noun."""
        words = list(self.words)
        ends_in_style = bool(words) and words[-1] in _BARE_STYLES
        if not (ends_in_style and rng.random() < 0.4):
            words = [*words[:-1], _adjective(words[-1]), self.noun] if words else [self.noun]
        phrase = " ".join(words)
        if words[-1] == "music" or words[-1] in _BARE_STYLES:
            return phrase
        return ("an " if phrase[0].lower() in "aeiou8" else "a ") + phrase

    @staticmethod
    def strip(phrase: str) -> str:
        """`phrase` without its article, for lists of tags."""
        for article in _ARTICLES:
            if phrase.startswith(article):
                return phrase[len(article) :]
        return phrase


_BARE_STYLES = frozenset(word for words in STYLE_WORDS.values() for word in words)


def word_facts(rng: np.random.Generator, facts: Facts, held_out: bool) -> Phrases:
    """A wording of each of `facts`."""
    words = []
    if "mood" in facts:
        words.append(("mood", pick(rng, MOOD_WORDS[str(facts["mood"])])))
    changes_tempo = facts.get("tempo") in ("rising", "falling")
    if "tempo" in facts and not changes_tempo:
        words.append(("tempo", pick(rng, TEMPO_WORDS[str(facts["tempo"])])))
    if "style" in facts:
        words.append(("style", pick(rng, STYLE_WORDS[str(facts["style"])])))
    numbers = _number_phrases(rng, facts, held_out)
    if changes_tempo:
        word = pick(rng, TEMPO_WORDS[str(facts["tempo"])])
        numbers.append(("tempo", word, word))
    absence = HELD_OUT_ABSENCE_WORDS if held_out else ABSENCE_WORDS
    present = [_role_phrase(rng, facts, role) for role in ROLES if facts.get(role) is True]
    rng.shuffle(present)
    return Phrases(
        words=tuple(word for _, word in words),
        numbers=tuple(phrase for _, phrase, _ in numbers),
        present=tuple(present),
        absent=tuple(pick(rng, absence[role]) for role in ROLES if facts.get(role) is False),
        labelled=(*words, *((name, value) for name, _, value in numbers)),
        noun=pick(rng, HELD_OUT_NOUNS if held_out else NOUNS),
    )


def _number_phrases(
    rng: np.random.Generator, facts: Facts, held_out: bool
) -> list[tuple[str, str, str]]:
    """(label, phrase, bare value) of bpm, key and meter, in that order."""
    phrases = []
    if "bpm" in facts:
        form = pick(rng, HELD_OUT_BPM_WORDS if held_out else BPM_WORDS)
        phrases.append(("bpm", form.format(facts["bpm"]), str(facts["bpm"])))
    if "key" in facts:
        name = _key_words(rng, str(facts["key"]))
        form = pick(rng, HELD_OUT_KEY_WORDS if held_out else KEY_WORDS)
        phrases.append(("key", form.format(name), name))
    if "beats_per_bar" in facts:
        word = pick(rng, METER_WORDS[int(facts["beats_per_bar"])])
        phrases.append(("meter", f"counted in {word}" if held_out else word, word))
    return phrases


def _key_words(rng: np.random.Generator, key: str) -> str:
    """The key with either name of a black key, at times spelt out: "E flat minor"."""
    tonic, mode = key.split(" ")
    if rng.random() < 0.3:
        tonic = PITCH_CLASS_ALIASES[PITCH_CLASS_NAMES.index(tonic)]
    if len(tonic) == 2 and rng.random() < 0.35:
        tonic = f"{tonic[0]} {'sharp' if tonic[1] == '#' else 'flat'}"
    return f"{tonic} {mode}"


def _role_phrase(rng: np.random.Generator, facts: Facts, role: str) -> str:
    sound = facts.get(f"{role}_sound")
    if sound is None:
        return pick(rng, ROLE_WORDS[role])
    word = pick(rng, SOUND_WORDS[str(sound)])
    if role == "lead" and "lead" not in word and rng.random() < 0.7:
        return f"a {Phrases.strip(word)} {pick(rng, ('melody', 'lead', 'solo'))}"
    return word


def _adjective(style_or_mood: str) -> str:
    """ "house music" is "house" before another noun."""
    return style_or_mood.removesuffix(" music")
