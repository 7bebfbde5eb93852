"""The inputs of a block of steps: tokens that are known, noise, biases, guidance and sampling."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from musicgen_rt.live.cache_slot import CacheSlot
from musicgen_rt.live.conditioning import RowBias, Situation
from musicgen_rt.live.sampling import gumbel_noise, parameter_tensor
from musicgen_rt.live.stepper import StepBlock
from musicgen_rt.live.token_store import UNKNOWN, TokenStore


def step_block(
    slot: CacheSlot,
    situations: Sequence[Situation],
    diagonal: int,
    position: int,
    store: TokenStore,
    bias: RowBias,
    vocab_size: int,
) -> StepBlock:
    """The block that makes `diagonal` and the ones after it, one for each situation.

    `position` is that of `diagonal` in the slot's cache.
    """
    assert slot.window is not None
    diagonals = range(diagonal, diagonal + len(situations))
    forced = torch.tensor([store.forced(one).tolist() for one in diagonals])  # [n, K]
    row_bias = bias(slot.rows, [situation.conditions for situation in situations])
    return StepBlock(
        first_tokens=torch.from_numpy(store.column(diagonal - 1, slot.window.start)),
        first_position=position,
        noise=_noise(situations, diagonals, forced, vocab_size),
        bias=None if row_bias is None else row_bias.transpose(0, 1),
        coefficients=torch.tensor([situation.coefficients for situation in situations]),
        parameters=torch.stack([parameter_tensor(one.sampling) for one in situations]),
        forced=forced,
    )


def _noise(
    situations: Sequence[Situation], diagonals: range, forced: Tensor, vocab_size: int
) -> Tensor:
    """Noise [n, K, V]; a diagonal that is greedy or wholly given needs none."""
    num_codebooks = forced.shape[1]
    noise = torch.zeros(len(diagonals), num_codebooks, vocab_size)
    for index, (situation, frame) in enumerate(zip(situations, diagonals, strict=True)):
        if situation.sampling.temperature > 0 and (forced[index] == UNKNOWN).any():
            frames = range(frame, frame + 1)
            drawn = gumbel_noise(situation.seed, frames, num_codebooks, vocab_size)
            noise[index] = torch.from_numpy(drawn[0])
    return noise
