"""What a prompt asks of the attribute conditioners, where the performer leaves them free.

A checkpoint that can read attributes off a text is told by each prompt's row what that prompt
says: "lo-fi hip hop with soft keys, no drums" is also lo_fi_hip_hop on, keys on, drums off. Small
models hear a frame's condition long before they learn to listen to cross-attention, and prompts
that are mixed by their weights mix these as well.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from musicgen_rt.model.frame_conditioning import AttributeStates
from musicgen_rt.model.text_attributes import TextAttributes, style_attribute

# Certainty from which a reading is acted on; less may as well be the reader's own habit.
_STYLE_CONFIDENCE = 0.6
_ROLE_IS_ON, _ROLE_IS_OFF = 0.85, 0.15
_MAX_CACHED = 64


class ImpliedAttributes:
    """Reads prompts, each once. One thread."""

    def __init__(self, reader: TextAttributes | None, names: Sequence[str]) -> None:
        """`names` are the attributes that the checkpoint has conditioners for."""
        self._reader, self._names = reader, frozenset(names)
        self._read: OrderedDict[str, AttributeStates] = OrderedDict()

    def __call__(self, text: str | None) -> AttributeStates:
        """(name, on) pairs that a prompt implies; none for the null prompt.

        Raises PromptError for a prompt that the text encoder cannot take.
        """
        if text is None or self._reader is None or not self._names:
            return ()
        if text not in self._read:
            self._read[text] = self._reading(self._reader, text)
            if len(self._read) > _MAX_CACHED:
                self._read.popitem(last=False)
        self._read.move_to_end(text)
        return self._read[text]

    def _reading(self, reader: TextAttributes, text: str) -> AttributeStates:
        heard = reader.predict(text)
        states = {
            role: share >= _ROLE_IS_ON
            for role, share in heard["instruments"].items()
            if share >= _ROLE_IS_ON or share <= _ROLE_IS_OFF
        }
        if heard["style_confidence"] >= _STYLE_CONFIDENCE:
            states[style_attribute(heard["style"])] = True
        return tuple((name, is_on) for name, is_on in states.items() if name in self._names)
