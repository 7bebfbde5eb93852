"""Tempo and metre as words of the prompt: how a model is asked that is told no beats.

MusicGen was trained on captions that name a tempo. It keeps to it within some beats a minute, which
is what the beat lock can make up for.
"""

from __future__ import annotations

import re

from musicgen_rt.model.config import ModelConfig

# The control of the score that holds the words; None adds nothing to the prompts.
TEMPO_WORDS = "tempo_words"
# As many characters, and tokens, as words can have: for checking that a prompt leaves room.
LONGEST_WORDS = "199 bpm, 12/4 time"

_USUAL_BEATS = 4
# A host that is followed wanders a little; so far it is not asked for anew.
_SAME_BPM = 0.75
_NAMES_TEMPO = re.compile(r"\d\s*bpm\b", re.IGNORECASE)


def tempo_words(bpm: float, beats_per_bar: int, before: str | None = None) -> str:
    """What to ask for; `before`, if that is still true."""
    metre = "" if beats_per_bar == _USUAL_BEATS else f", {beats_per_bar}/4 time"
    if before is not None:
        number, _, rest = before.partition(" bpm")
        if rest == metre and abs(float(number) - bpm) <= _SAME_BPM:
            return before
    return f"{round(bpm)} bpm{metre}"


def with_words(text: str, words: str | None) -> str:
    """A prompt with the words, unless it names a tempo itself."""
    if words is None or _NAMES_TEMPO.search(text):
        return text
    return f"{text}, {words}"


def is_told_beats(config: ModelConfig) -> bool:
    """Whether the model is told the beats frame by frame, and so need not be asked."""
    conditioning = config.frame_conditioning
    return conditioning is not None and conditioning.clock is not None
