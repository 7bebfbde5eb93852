"""From a prompt to the tokens of its text encoder, as transformers makes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from musicgen_rt.errors import CheckpointError

Tokenizer = Callable[[str], list[int]]

# ByT5 (Xue et al. 2021): a token a byte, after three special ones, and the end.
_BYTE_OFFSET = 3
_END_TOKEN = 1
# How all of ByT5's special tokens begin; where one may be, transformers is asked.
_SPECIAL = "<"
_CONFIG = "tokenizer_config.json"
# With these and no others the words of a ByT5 are its bytes.
_BYTE_KEYS = {
    "added_tokens_decoder", "backend", "clean_up_tokenization_spaces", "eos_token", "extra_ids",
    "additional_special_tokens", "extra_special_tokens", "is_local", "model_max_length",
    "pad_token", "tokenizer_class", "unk_token",
}  # fmt: skip


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a checkpoint folder: text to tokens, the end token included.

    Nothing from the folder is run. Raises CheckpointError naming the folder.
    """
    return _ByteTokenizer(folder) if _has_bytes(folder) else _transformers_tokenizer(folder)


class _ByteTokenizer:
    """ByT5's. Its transformers class is loaded only for a text that may hold a special token.

    Mutable (what it has loaded): one thread at a time.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._with_specials: Tokenizer | None = None

    def __call__(self, text: str) -> list[int]:
        if _SPECIAL not in text:
            return [byte + _BYTE_OFFSET for byte in text.encode()] + [_END_TOKEN]
        if self._with_specials is None:
            self._with_specials = _transformers_tokenizer(self._folder)
        return self._with_specials(text)


def _has_bytes(folder: Path) -> bool:
    """Whether the folder's tokenizer is ByT5's with no special tokens but its own."""
    try:
        config = json.loads((folder / _CONFIG).read_bytes())
        if config["tokenizer_class"] != "ByT5Tokenizer" or not set(config) <= _BYTE_KEYS:
            return False
        added = config.get("added_tokens_decoder", {})
        specials = [one["content"] for one in added.values()]
        specials += [config.get(name, _SPECIAL) for name in ("eos_token", "pad_token", "unk_token")]
        for key in ("additional_special_tokens", "extra_special_tokens"):
            specials += config.get(key) or []
        is_plain = all(isinstance(one, str) and one.startswith(_SPECIAL) for one in specials)
        return is_plain and config.get("eos_token", "</s>") == "</s>"
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False  # transformers says what is wrong with it


def _transformers_tokenizer(folder: Path) -> Tokenizer:
    # Here, since it takes the better part of a second.
    from transformers import AutoTokenizer

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
    return lambda text: list(tokenizer(text).input_ids)
