"""From a prompt to the hidden states that condition the language model: tokenizer and encoder.

Both come from the checkpoint's own folder, never from the network and never with code from it. The
encoder is the class that `text_encoder` in config.json names (T5 in all official checkpoints),
built as transformers' MusicGen builds it. The projection to the model's width is not here.
"""

from __future__ import annotations

import unicodedata
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoConfig, AutoModelForTextEncoding, AutoTokenizer

from musicgen_rt.errors import CheckpointError, PromptError
from musicgen_rt.model.json_section import JsonSection

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
_MAX_LAYERS = 512


@dataclass(frozen=True)
class TextEncoderLayout:
    """Tensor names (without prefix) and shapes of an encoder, and which names share one tensor."""

    shapes: dict[str, tuple[int, ...]]
    ties: tuple[tuple[str, ...], ...]

    @classmethod
    def from_json(cls, text_encoder_json: Mapping[str, Any]) -> TextEncoderLayout:
        """Derive it from the encoder's own class, without allocating a weight.

        Raises CheckpointError if transformers has no encoder for this config.
        """
        model = _build_on_meta(text_encoder_json)
        names_of: dict[int, list[str]] = {}
        for name, parameter in model.named_parameters(remove_duplicate=False):
            names_of.setdefault(id(parameter), []).append(name)
        return cls(
            shapes={name: tuple(tensor.shape) for name, tensor in model.state_dict().items()},
            ties=tuple(tuple(names) for names in names_of.values() if len(names) > 1),
        )


def _build_on_meta(text_encoder_json: Mapping[str, Any]) -> Any:
    fields = JsonSection.of("config.json: text_encoder", text_encoder_json)
    for key in ("num_layers", "num_hidden_layers"):
        fields.integer(key, 1, 1, _MAX_LAYERS)
    values = {key: value for key, value in text_encoder_json.items() if key != "auto_map"}
    model_type = values.pop("model_type", "t5")
    try:
        config = AutoConfig.for_model(model_type, **values)
        with torch.device("meta"):
            return AutoModelForTextEncoding.from_config(config)
    # The config is not ours and transformers raises whatever its classes raise.
    except Exception as error:
        raise CheckpointError(
            f"config.json: text_encoder of model_type {model_type!r} cannot be built "
            f"({error}); expected the config of a text encoder that transformers knows, such as t5"
        ) from error


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

    def __init__(self, tokenizer: Any, model: Any, *, max_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._model = model
        self._max_tokens = max_tokens
        self._vocab_size: int = model.get_input_embeddings().weight.shape[0]
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
        tokenizer = _load_tokenizer(checkpoint.folder)
        model = _build_on_meta(checkpoint.config.text_encoder_json)
        # Copied, since a mapped file that is overwritten later would end the process.
        weights = {
            name: checkpoint.tensor(PREFIX + name).to(torch.float32, copy=True)
            for name in model.state_dict()
        }
        model.load_state_dict(weights, assign=True)
        model.tie_weights()  # one copy, not two, of what is stored once
        for name, buffer in model.named_buffers():
            if buffer.is_meta:
                raise CheckpointError(
                    f"{checkpoint.folder}: this text encoder computes {name} at start, which is "
                    "not supported; expected one of the T5 family"
                )
        model.requires_grad_(False)
        return cls(tokenizer, model.eval(), max_tokens=max_tokens)

    @torch.no_grad()
    def encode(self, text: str) -> torch.Tensor:
        """Return the hidden states of one prompt, [S, d_text] in fp32, end token included.

        No padding: audiocraft and transformers agree only without it. The tensor is the caller's.
        Raises PromptError for a prompt that is empty, too long or holds control characters.
        """
        check_prompt(text)
        hidden = self._cache.get(text)
        if hidden is None:
            hidden = self._model(input_ids=self._token_ids(text)).last_hidden_state[0]
            self._cache[text] = hidden
            if len(self._cache) > _CACHED_PROMPTS:
                self._cache.popitem(last=False)
        self._cache.move_to_end(text)
        return hidden.clone()

    def _token_ids(self, text: str) -> torch.Tensor:
        """Tokens of a prompt as [1, S] int64."""
        ids = list(self._tokenizer(text).input_ids)
        if not 1 <= len(ids) <= self._max_tokens:
            raise PromptError(
                f"the prompt has {len(ids)} tokens, expected 1 to {self._max_tokens}; shorten it"
            )
        if max(ids) >= self._vocab_size:
            raise CheckpointError(
                f"the tokenizer gives the token {max(ids)}, the text encoder has only "
                f"{self._vocab_size}: they are not of the same checkpoint"
            )
        return torch.tensor([ids], dtype=torch.int64)


def _load_tokenizer(folder: Path) -> Any:
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
    # Many readers of many file formats stand behind this call, each with its own exceptions.
    except Exception as error:
        raise CheckpointError(
            f"{folder}: its tokenizer cannot be loaded ({error}); expected tokenizer.json and "
            "tokenizer_config.json as in the official checkpoints"
        ) from error
    # Without its vocabulary transformers makes a T5 tokenizer all the same, for which every word
    # is unknown. ByT5's, which needs no vocabulary, names no file.
    files = tuple(tokenizer.vocab_files_names.values())
    if files and not any((folder / file).is_file() for file in files):
        raise CheckpointError(
            f"{folder}: its tokenizer has no vocabulary, expected {' or '.join(files)}"
        )
    return tokenizer
