"""What a weight format costs in quality: how far its next-token distributions are from fp32's."""

from __future__ import annotations

import torch
from torch import Tensor

from musicgen_rt.model.kv_cache import CrossCache, KVCache
from musicgen_rt.model.musicgen import MusicGen
from musicgen_rt.offline.bench_engine import PROMPT

POSITIONS = 128


@torch.inference_mode()
def log_probabilities(model: MusicGen, positions: int = POSITIONS) -> Tensor:
    """Of the next token at each position, under the prompt: float32 [S, K, V] on the CPU.

    The tokens read are random and the same for every model of the same shape.
    """
    lm = model.lm
    states = lm.conditioning.text_states(model.text.encode(PROMPT).to(model.device))
    prefix = _prefix(model, states)
    start = 0 if prefix is None else prefix.shape[1]
    cache = KVCache.allocate(lm.config, 1, start + positions, lm.dtype, lm.device)
    cross = None
    if prefix is None:
        cross = CrossCache.allocate(lm.config, 1, states.shape[0], lm.dtype, lm.device)
        cross.set_row(0, lm.conditioning.cross_attention(states))
    else:
        lm.prefill_prefix(prefix, cache)
    random = torch.Generator().manual_seed(0)
    shape = (lm.config.num_codebooks, positions)
    tokens = torch.randint(lm.config.vocab_size, shape, generator=random).to(lm.device)
    hidden = lm.prefill(tokens, start, cache, cross)
    return lm.logits(hidden)[0].log_softmax(-1).cpu()


def divergence_nats(exact: Tensor, coarse: Tensor) -> float:
    """KL(exact || coarse) of log probabilities [S, K, V], mean over positions and codebooks."""
    return float((exact.exp() * (exact - coarse)).sum(-1).mean())


def _prefix(model: MusicGen, states: Tensor) -> Tensor | None:
    """A melody checkpoint's prefix [1, P, D] without a melody; None for text checkpoints."""
    chroma = model.config.chroma
    if chroma is None:
        return None
    null = torch.zeros(chroma.chroma_length, chroma.num_chroma, device=model.device)
    null[:, 0] = 1.0
    return torch.cat([model.lm.conditioning.chroma_states(null), states])[None]
