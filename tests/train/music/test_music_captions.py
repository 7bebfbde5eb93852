"""Captions state true facts, state what they list, and vary."""

from __future__ import annotations

import re

import pytest

from musicgen_rt.train.music import Caption, Clip, captions
from musicgen_rt.train.music.caption_words import (
    ABSENCE_WORDS,
    HELD_OUT_ABSENCE_WORDS,
    HELD_OUT_NOUNS,
    MOOD_WORDS,
    NOUNS,
    STYLE_WORDS,
)

ROLES = ("drums", "bass", "pad", "keys", "lead")
NOTE_NAMES = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
SHIFTS = {"": 0, "#": 1, "b": -1, " sharp": 1, " flat": -1}
KEY_PATTERN = re.compile(
    r"(?<![a-z])([a-g])(#|b| sharp| flat)? (major|minor|dorian|mixolydian|phrygian)"
)


@pytest.fixture(scope="module")
def captioned(short_clips: list[Clip]) -> list[tuple[Clip, Caption]]:
    pairs = []
    for clip in short_clips:
        for held_out in (False, True):
            pairs += [(clip, caption) for caption in captions(clip.truth, 1, 12, held_out)]
    return pairs


def test_facts_are_true_of_the_clip(captioned: list[tuple[Clip, Caption]]) -> None:
    for clip, caption in captioned:
        truth, facts = clip.truth, caption.facts
        assert facts
        assert facts.get("style", truth.style) == truth.style
        assert facts.get("mood", truth.mood) == truth.mood
        assert facts.get("key", truth.key_name) == truth.key_name
        assert facts.get("beats_per_bar", truth.beats_per_bar) == truth.beats_per_bar
        if "bpm" in facts:
            assert truth.has_steady_tempo
            assert abs(float(facts["bpm"]) - truth.bpm) <= 0.5
        for role in ROLES:
            if role in facts:
                assert facts[role] == (role in truth.instruments)
            sound = facts.get(f"{role}_sound")
            assert sound is None or sound == truth.instruments[role]


def test_text_states_numbers_and_keys_if_and_only_if_listed(
    captioned: list[tuple[Clip, Caption]],
) -> None:
    for _, caption in captioned:
        text = caption.text.lower()
        numbers = [int(n) for n in re.findall(r"\d+", re.sub(r"[34]/4|80s", "", text))]
        assert numbers == ([caption.facts["bpm"]] if "bpm" in caption.facts else []), text
        keys = KEY_PATTERN.findall(text)
        assert len(keys) == ("key" in caption.facts), text
        if keys:
            letter, shift, mode = keys[0]
            tonic = (NOTE_NAMES[letter] + SHIFTS[shift]) % 12
            name, stated_mode = str(caption.facts["key"]).lower().split(" ")
            assert (tonic, mode) == ((NOTE_NAMES[name[0]] + SHIFTS[name[1:]]) % 12, stated_mode)


def test_text_states_style_mood_and_absence(captioned: list[tuple[Clip, Caption]]) -> None:
    for _, caption in captioned:
        text, facts = caption.text.lower(), caption.facts
        if "style" in facts:
            words = (word.removesuffix(" music") for word in STYLE_WORDS[str(facts["style"])])
            assert any(word.lower() in text for word in words), text
        if "mood" in facts:
            assert any(word in text for word in MOOD_WORDS[str(facts["mood"])]), text
        said = [
            any(_says(text, word) for word in (*ABSENCE_WORDS[role], *HELD_OUT_ABSENCE_WORDS[role]))
            for role in ROLES
        ]
        assert said == [facts.get(role) is False for role in ROLES], text


def _says(text: str, words: str) -> bool:
    """Whether `words` occur as whole words: "piano melody" does not say "no melody"."""
    return re.search(rf"(?<![a-z]){re.escape(words)}(?![a-z])", text) is not None


def test_no_drums_is_said_often_enough(captioned: list[tuple[Clip, Caption]]) -> None:
    drumless = [c for clip, c in captioned if not clip.truth.has_drums]
    said = [caption.facts.get("drums") is False for caption in drumless]
    assert 0.35 < sum(said) / len(said) < 0.75


def test_wordings_vary_and_repeat_exactly_for_a_seed(short_clips: list[Clip]) -> None:
    truth = max((clip.truth for clip in short_clips), key=lambda t: len(t.instruments))
    made = captions(truth, 7, 300)
    assert made == captions(truth, 7, 300)
    assert len({caption.text for caption in made}) > 280
    assert any(caption.text.isupper() for caption in made)
    assert any(caption.text.islower() for caption in made)
    assert any("\n" in caption.text or "|" in caption.text for caption in made)
    assert captions(truth, 8, 5) != made[:5]


def test_held_out_wordings_never_occur_in_training(short_clips: list[Clip]) -> None:
    assert not set(NOUNS) & set(HELD_OUT_NOUNS)
    openings = ("give me", "could you", "i would like", "make ", "you hear", "picture", "imagine")
    for clip in short_clips[:20]:
        for caption in captions(clip.truth, 3, 30):
            assert not caption.text.lower().startswith(openings)
            assert not any(word in caption.text.lower() for word in HELD_OUT_ABSENCE_WORDS["drums"])
        for caption in captions(clip.truth, 3, 30, held_out=True):
            assert caption.text.lower().startswith(openings)
