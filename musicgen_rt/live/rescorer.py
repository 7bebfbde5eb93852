"""A MusicGen that judges what a MAGNeT makes: rescoring.

Ziv et al., "Masked Audio Generation using a Single Non-Autoregressive Transformer", 2024, section
3.5: the sureness of a token is a mix of the model's own probability and of an autoregressive
model's, which needs one pass over the whole sequence for all of its tokens.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from musicgen_rt.errors import UnsupportedError
from musicgen_rt.live.block_stream import BlockStream
from musicgen_rt.live.engine import Engine
from musicgen_rt.live.masked_decoder import Rescorer
from musicgen_rt.live.token_store import UNKNOWN
from musicgen_rt.model.config import ModelConfig
from musicgen_rt.model.delay_pattern import apply_delay
from musicgen_rt.model.kv_cache import CrossCache, KVCache
from musicgen_rt.model.musicgen import MusicGen


def require_rescorer(mine: ModelConfig, source: str, judged: ModelConfig) -> None:
    """Raise UnsupportedError unless a model can judge, and the other one be judged by it."""
    if judged.magnet is None:
        raise UnsupportedError(
            "a rescorer judges what a model of masked codes makes: load a MAGNeT, or leave it out"
        )
    same_codes = (mine.lm.num_codebooks, mine.lm.vocab_size, mine.sampling_rate_hz) == (
        judged.lm.num_codebooks,
        judged.lm.vocab_size,
        judged.sampling_rate_hz,
    )
    if mine.kind != "text" or mine.magnet is not None or not same_codes:
        raise UnsupportedError(
            f"{source} cannot rescore: expected a text MusicGen with "
            f"{judged.lm.num_codebooks} codebooks of {judged.lm.vocab_size} at "
            f"{judged.sampling_rate_hz} Hz, as the model it judges"
        )


def let_judge(engine: Engine, rescorer: Rescorer) -> None:
    """From now on, until the engine begins another session, `rescorer` judges what it makes."""
    stream = engine.session.stream
    assert isinstance(stream, BlockStream)  # `require_rescorer` has seen to it
    stream.decoder = replace(stream.decoder, rescorer=rescorer)


class MusicGenRescorer:
    """A text model and a prompt. One thread at a time."""

    def __init__(self, model: MusicGen, judged: ModelConfig, prompt: str | None) -> None:
        """`judged` is the config of the model whose codes it will see.

        Raises UnsupportedError for a model that is not a text MusicGen over the same codes.
        """
        require_rescorer(model.config, model.source, judged)
        self._lm = model.lm
        self._cross = CrossCache.allocate(
            model.config.lm, 1, model.text.default_capacity, self._lm.dtype, self._lm.device
        )
        if prompt is not None:
            states = self._lm.conditioning.text_states(
                model.text.encode(prompt).to(self._lm.device)
            )
            self._cross.set_row(0, self._lm.conditioning.cross_attention(states))
        self._cache: KVCache | None = None

    @torch.inference_mode()
    def probability(self, codes: Tensor, codebook: int) -> Tensor:
        """Of each token of a codebook, float32 [T], given codes [K, T], UNKNOWN where not made."""
        config, frames = self._lm.config, codes.shape[1]
        special = config.vocab_size
        known = codes.to(self._lm.device).masked_fill(codes == UNKNOWN, special)
        # The last column is no input: nothing follows it.
        tokens = apply_delay(known, config.delays, special)[:, :-1]
        if self._cache is None or self._cache.capacity < tokens.shape[1]:
            self._cache = KVCache.allocate(
                config, 1, tokens.shape[1], self._lm.dtype, self._lm.device
            )
        hidden = self._lm.prefill(tokens, 0, self._cache, self._cross)
        delay = config.delays[codebook]
        logits = self._lm.logits(hidden[:, delay : delay + frames])[0, :, codebook]  # [T, V]
        chosen = known[codebook].clamp(max=config.vocab_size - 1)
        return logits.softmax(-1).gather(1, chosen[:, None])[:, 0]
