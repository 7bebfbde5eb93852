"""From a prompt to the hidden states that condition the language model: tokenizer and encoder.

Both come from the checkpoint's own folder, never from the network and never with code from it. The
encoder is the one that `text_encoder` in config.json names: T5 in all official checkpoints, which
is built here, or any other that transformers knows. The projection to the model's width is not
here.
"""

from __future__ import annotations

import unicodedata
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch

from musicgen_rt.errors import CheckpointError, PromptError
from musicgen_rt.model.t5 import TIE, T5Config, T5Encoder
from musicgen_rt.model.tokenizer import Tokenizer, load_tokenizer

if TYPE_CHECKING:
    from musicgen_rt.model.checkpoint import Checkpoint

MAX_PROMPT_CHARACTERS = 2000
# What T5 was trained with; its relative positions go on beyond, but the music does not improve.
DEFAULT_MAX_TOKENS = 512
PREFIX = "text_encoder."

_CACHED_PROMPTS = 64
# ByT5's 256 bytes, 125 sentinels and specials; vocabularies of word pieces have thousands.
_LARGEST_BYTE_VOCABULARY = 512
_BYTES_CAPACITY = 256
_WORDS_CAPACITY = 64


class _Model(Protocol):
    """Tokens [S] int64 -> hidden states [S, d_text] in fp32."""

    @property
    def vocab_size(self) -> int: ...

    def __call__(self, ids: torch.Tensor) -> torch.Tensor: ...


@dataclass(frozen=True)
class TextEncoderLayout:
    """Tensor names (without prefix) and shapes of an encoder, and which names share one tensor."""

    shapes: dict[str, tuple[int, ...]]
    ties: tuple[tuple[str, ...], ...]

    @classmethod
    def from_json(cls, text_encoder_json: Mapping[str, Any]) -> TextEncoderLayout:
        """Derive it from a T5's config, or from the encoder's own class without its weights.

        Raises CheckpointError if there is no encoder for this config.
        """
        t5 = T5Config.from_json(text_encoder_json)
        if t5 is not None:
            return cls(t5.shapes(), (TIE,))
        from musicgen_rt.model.other_text_encoder import build_on_meta

        model = build_on_meta(text_encoder_json)
        names_of: dict[int, list[str]] = {}
        for name, parameter in model.named_parameters(remove_duplicate=False):
            names_of.setdefault(id(parameter), []).append(name)
        return cls(
            shapes={name: tuple(tensor.shape) for name, tensor in model.state_dict().items()},
            ties=tuple(tuple(names) for names in names_of.values() if len(names) > 1),
        )


def check_prompt(text: str) -> None:
    """Raise PromptError if a prompt is empty, too long or holds control characters."""
    if not text.strip():
        raise PromptError(
            f"the prompt is empty, expected 1 to {MAX_PROMPT_CHARACTERS} characters of text"
        )
    if len(text) > MAX_PROMPT_CHARACTERS:
        raise PromptError(
            f"the prompt has {len(text)} characters, expected at most {MAX_PROMPT_CHARACTERS}"
        )
    for position, character in enumerate(text):
        if unicodedata.category(character) in ("Cc", "Cs"):
            raise PromptError(
                f"the prompt has the control character U+{ord(character):04X} at position "
                f"{position}, expected plain text on one line"
            )


class TextEncoder:
    """Prompts to hidden states, in fp32 on the CPU, with the last prompts kept.

    Mutable (the cache): one thread at a time.
    """

    def __init__(self, tokenizer: Tokenizer, model: _Model, *, max_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._model = model
        self._max_tokens = max_tokens
        self._vocab_size = model.vocab_size
        self._cache: OrderedDict[str, torch.Tensor] = OrderedDict()

    @property
    def default_capacity(self) -> int:
        """Tokens to make room for where nobody says: some 250 characters of English."""
        return _BYTES_CAPACITY if self._vocab_size <= _LARGEST_BYTE_VOCABULARY else _WORDS_CAPACITY

    @classmethod
    def from_checkpoint(
        cls, checkpoint: Checkpoint, *, max_tokens: int = DEFAULT_MAX_TOKENS
    ) -> TextEncoder:
        """Load tokenizer and encoder. Raises CheckpointError naming the folder."""
        tokenizer = load_tokenizer(checkpoint.folder)

        def tensor(name: str) -> torch.Tensor:
            # Copied, since a mapped file that is overwritten later would end the process.
            return checkpoint.tensor(PREFIX + name).to(torch.float32, copy=True)

        text_encoder_json = checkpoint.config.text_encoder_json
        t5 = T5Config.from_json(text_encoder_json)
        if t5 is not None:
            weights = {name: tensor(name) for name in t5.shapes() if name != TIE[1]}
            return cls(tokenizer, T5Encoder(t5, weights), max_tokens=max_tokens)
        from musicgen_rt.model.other_text_encoder import OtherTextEncoder

        return cls(
            tokenizer, OtherTextEncoder.load(text_encoder_json, tensor), max_tokens=max_tokens
        )

    @torch.no_grad()
    def encode(self, text: str) -> torch.Tensor:
        """Return the hidden states of one prompt, [S, d_text] in fp32, end token included.

        No padding: audiocraft and transformers agree only without it. The tensor is the caller's.
        Raises PromptError for a prompt that is empty, too long or holds control characters.
        """
        check_prompt(text)
        hidden = self._cache.get(text)
        if hidden is None:
            hidden = self._model(self._token_ids(text))
            self._cache[text] = hidden
            if len(self._cache) > _CACHED_PROMPTS:
                self._cache.popitem(last=False)
        self._cache.move_to_end(text)
        return hidden.clone()

    def _token_ids(self, text: str) -> torch.Tensor:
        """Tokens of a prompt as [S] int64."""
        ids = self._tokenizer(text)
        if not 1 <= len(ids) <= self._max_tokens:
            raise PromptError(
                f"the prompt has {len(ids)} tokens, expected 1 to {self._max_tokens}; shorten it"
            )
        if max(ids) >= self._vocab_size:
            raise CheckpointError(
                f"the tokenizer gives the token {max(ids)}, the text encoder has only "
                f"{self._vocab_size}: they are not of the same checkpoint"
            )
        return torch.tensor(ids, dtype=torch.int64)
