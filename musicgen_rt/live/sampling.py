"""Guidance and sampling: from the rows' logits to one token for each codebook.

Noise is a pure function of (seed, absolute frame, codebook), so going back without a change makes
the same music again, however the steps are batched and on whatever device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

# Philox has a 256-bit counter and a 128-bit key: the frame is the counter's upper part, so that no
# two frames share a block however many codes they draw.
_COUNTER_WORDS = 4
_FRAME_WORD, _DRAW_WORD = 2, 3


@dataclass(frozen=True)
class SamplingParameters:
    """How a token is drawn. `temperature` 0 is greedy; `top_k` 0 and `top_p` 0 are off."""

    temperature: float = 1.0
    top_k: int = 250
    top_p: float = 0.0


def gumbel_noise(
    seed: int, frames: Sequence[int], num_codebooks: int, vocab_size: int, draw: int = 0
) -> np.ndarray:
    """Standard Gumbel noise for the diagonals that begin at `frames`: float32 [T, K, V].

    `draw` counts the times that a frame is drawn again.

    argmax(logits / temperature + noise) draws from the softmax. Philox4x64 (Salmon et al., 2011)
    is counter-based and NumPy guarantees its stream.
    """
    noise = np.empty((len(frames), num_codebooks, vocab_size), dtype=np.float32)
    for index, frame in enumerate(frames):
        counter = np.zeros(_COUNTER_WORDS, dtype=np.uint64)
        counter[_FRAME_WORD], counter[_DRAW_WORD] = frame, draw
        bits = np.random.Philox(key=seed, counter=counter)
        noise[index] = _uniform(bits, num_codebooks * vocab_size).reshape(num_codebooks, -1)
    np.log(noise, out=noise)
    np.negative(noise, out=noise)
    np.log(noise, out=noise)
    return np.negative(noise, out=noise)


def _uniform(bits: np.random.Philox, count: int) -> np.ndarray:
    """float32 in the open interval (0, 1): centres of 2^23 equal bins, so no log is infinite."""
    words = bits.random_raw((count + 1) // 2).view(np.uint32)[:count]
    return ((words >> 9).astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-23)


def guide(logits: Tensor, coefficients: Tensor) -> Tensor:
    """Mix the rows: logits [B, K, V], coefficients [B] -> [K, V]."""
    return torch.einsum("bkv,b->kv", logits, coefficients)


def sample(
    logits: Tensor, noise: Tensor, parameters: Tensor, known_top_k: int | None = None
) -> Tensor:
    """Draw one token a codebook: logits and noise [K, V], parameters [3] -> int64 [K].

    `parameters` are temperature, top_k and top_p as a tensor (`parameter_tensor`), so that a
    captured graph takes new ones without being captured again. A host that knows that top_p is off
    gives `known_top_k` (from `top_k_alone`), which spares the sort; the token is the same.
    """
    temperature, top_k, top_p = parameters.unbind()
    if known_top_k is None:
        smallest = _smallest_kept(logits, temperature, top_k, top_p)
    elif 1 <= known_top_k < logits.shape[-1]:
        smallest = logits.topk(known_top_k, dim=-1, sorted=False).values.amin(-1, keepdim=True)
    else:
        return (logits + temperature * noise).argmax(-1)
    choice = (logits + temperature * noise).masked_fill(logits < smallest, -torch.inf)
    return choice.argmax(-1)


def _smallest_kept(logits: Tensor, temperature: Tensor, top_k: Tensor, top_p: Tensor) -> Tensor:
    """The smallest logit [K, 1] that top_k and top_p leave."""
    vocab_size = logits.shape[-1]
    ordered = logits.sort(dim=-1, descending=True).values
    limit = torch.where(top_k < 1, vocab_size, top_k.long()).clamp(1, vocab_size)
    smallest = ordered.index_select(-1, (limit - 1).reshape(1))  # [K, 1]
    kept_order = ordered >= smallest
    scaled = (ordered / temperature.clamp(min=1e-4)).masked_fill(~kept_order, -torch.inf)
    probability = scaled.softmax(-1)
    # A token stays if what lies before it is less than top_p; the first one always stays.
    before = probability.cumsum(-1) - probability
    in_nucleus = kept_order & ((before < top_p) | (top_p <= 0))
    return ordered.masked_fill(~in_nucleus, torch.inf).amin(-1, keepdim=True)


def top_k_alone(parameters: Tensor) -> int | None:
    """top_k of parameters [3] on the host, None where top_p counts as well."""
    _, top_k, top_p = parameters.tolist()
    return None if top_p > 0 else int(top_k)


def parameter_tensor(parameters: SamplingParameters) -> Tensor:
    """The parameters as `sample` takes them: float32 [3]."""
    return torch.tensor(
        [parameters.temperature, float(parameters.top_k), parameters.top_p], dtype=torch.float32
    )
