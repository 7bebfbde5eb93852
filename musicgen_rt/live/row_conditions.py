"""Brings the rows' texts and melodies to the model: cross-attention, or a melody prefix."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from musicgen_rt.errors import PromptError
from musicgen_rt.live.cache_slot import CacheSlot
from musicgen_rt.live.conditioning import Row
from musicgen_rt.live.placed_melody import PlacedMelody
from musicgen_rt.live.window import Window
from musicgen_rt.model.chroma import ChromaParameters
from musicgen_rt.model.config import ModelConfig
from musicgen_rt.model.kv_cache import TextKV
from musicgen_rt.model.lm import LM
from musicgen_rt.model.text import TextEncoder

# Cross-attention's keys and values of a prompt take tens of megabytes in the large models.
_MAX_CACHED_STATES = 64
_MAX_CACHED_CROSS = 16
_T = TypeVar("_T")


class RowConditions:
    """Encodes prompts once and places them, and melodies, where the checkpoint expects them."""

    def __init__(
        self, config: ModelConfig, lm: LM, encoder: TextEncoder, text_capacity: int
    ) -> None:
        self._config, self._lm, self._encoder = config, lm, encoder
        self._text_capacity = text_capacity
        self._states: OrderedDict[str, Tensor] = OrderedDict()
        self._cross: OrderedDict[str, TextKV] = OrderedDict()

    def check(self, text: str) -> None:
        """Encode a prompt ahead of its use. Raises PromptError if it cannot be used."""
        length = self._text_states(text).shape[0]
        if length > self._text_capacity:
            raise PromptError(
                f"the prompt has {length} tokens: at most {self._text_capacity} fit; shorten it, "
                "or start with a larger text capacity"
            )

    def set_texts(self, slot: CacheSlot, rows: tuple[Row, ...]) -> None:
        """Swap the cross-attention of rows whose prompt changed (text checkpoints)."""
        slot.rows = rows
        if slot.cross is None:
            return
        for index, row in enumerate(rows):
            if index >= len(slot.texts) or slot.texts[index] != row.text:
                slot.cross.set_row(index, self._text_kv(row.text))
                slot.texts[index : index + 1] = [row.text]

    def prefix_length(self, rows: tuple[Row, ...]) -> int:
        """Positions in front of the audio: 0 for text checkpoints."""
        if self._config.chroma is None:
            return 0
        return self._config.chroma.chroma_length + self._longest_text(rows)

    @torch.inference_mode()
    def prefix(self, rows: tuple[Row, ...], window: Window) -> Tensor | None:
        """A melody checkpoint's conditions [B, P, D]: chroma, then text padded with zeros.

        Padding is zero states that are attended to, and the null text is nothing but padding, as
        in the reference implementations.
        """
        if self._config.chroma is None:
            return None
        length = self._longest_text(rows)
        prefixes = []
        for row in rows:
            chroma = self._lm.conditioning.chroma_states(self._chroma(row.melody, window))
            text = chroma.new_zeros(0, chroma.shape[1])
            if row.text is not None:
                text = self._text_states(row.text)
            padded = F.pad(text, (0, 0, 0, length - text.shape[0]))
            prefixes.append(torch.cat([chroma, padded]))
        return torch.stack(prefixes)

    def _chroma(self, melody: PlacedMelody | None, window: Window) -> Tensor:
        """One-hot chroma [rows, 12] of a window, from the running offset of its first frame."""
        shape = self._config.chroma
        assert shape is not None
        if melody is None:
            null = torch.zeros(shape.chroma_length, shape.num_chroma)
            null[:, 0] = 1.0
            return null.to(self._lm.device)
        parameters = ChromaParameters(shape.sampling_rate_hz, shape.n_fft, shape.hop_samples)
        # Remembered frames stand in front: the melody is laid out so that it fits the recent ones.
        start = window.start - window.memory_frames
        return melody.chroma_window(start, shape.chroma_length, parameters).to(self._lm.device)

    def _longest_text(self, rows: tuple[Row, ...]) -> int:
        lengths = [self._text_states(row.text).shape[0] for row in rows if row.text is not None]
        return max(lengths, default=0)

    @torch.inference_mode()
    def _text_states(self, text: str) -> Tensor:
        """Projected states [S, D], cached."""
        if text not in self._states:
            hidden = self._encoder.encode(text).to(self._lm.device)
            self._states[text] = self._lm.conditioning.text_states(hidden)
        return _touched(self._states, text, _MAX_CACHED_STATES)

    @torch.inference_mode()
    def _text_kv(self, text: str | None) -> TextKV | None:
        if text is None:
            return None
        if text not in self._cross:
            states = self._text_states(text)
            self._cross[text] = self._lm.conditioning.cross_attention(states)
        return _touched(self._cross, text, _MAX_CACHED_CROSS)


def _touched(cache: OrderedDict[str, _T], key: str, limit: int) -> _T:
    """The entry, made the newest; the oldest beyond the limit go."""
    cache.move_to_end(key)
    while len(cache) > limit:
        cache.popitem(last=False)
    return cache[key]
