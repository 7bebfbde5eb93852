"""Keys and values of attention: self-attention's grow with the window, cross-attention's are fixed.

Both are static buffers written by index, so that compiled code and CUDA graphs see the same memory
at every step, and going back in time is only a smaller index.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from musicgen_rt.model.config import LMConfig

# Attention reads the cache up to a multiple of so many positions (`KVCache.span`). On CUDA every
# span is a graph of its own to capture, so there are few; elsewhere reading less is faster.
SPAN_STEP = 64
CUDA_SPAN_STEP = 256


@dataclass(eq=False)
class KVCache:
    """Self-attention's cache: for each layer keys and values [B, H, N, head_dim].

    Written by the engine's thread only.
    """

    keys: list[Tensor]
    values: list[Tensor]
    span_step: int = SPAN_STEP

    @classmethod
    def allocate(
        cls,
        config: LMConfig,
        rows: int,
        positions: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> KVCache:
        # Whole spans, zeroed: what a mask hides must still be finite.
        step = CUDA_SPAN_STEP if device.type == "cuda" else SPAN_STEP
        spans = -(-positions // step)
        shape = (rows, config.num_heads, spans * step, config.head_dim)

        def buffers() -> list[Tensor]:
            layers = range(config.num_layers)
            return [torch.zeros(shape, dtype=dtype, device=device) for _ in layers]

        return cls(buffers(), buffers(), step)

    @property
    def rows(self) -> int:
        return self.keys[0].shape[0]

    @property
    def capacity(self) -> int:
        """Positions that may be used."""
        return self.keys[0].shape[2]

    def first_rows(self, rows: int) -> KVCache:
        """A cache of the first rows alone, in the same memory."""
        keys, values = [k[:rows] for k in self.keys], [v[:rows] for v in self.values]
        return KVCache(keys, values, self.span_step)

    def span(self, position: int) -> int:
        """How many positions a query at `position` reads: up to the next multiple of the step.

        It depends on the position alone, never on how steps are batched, or sums would round
        differently from run to run.
        """
        return (position // self.span_step + 1) * self.span_step

    def copy_rows(self, source: KVCache, rows: Sequence[int], positions: int) -> None:
        """Row i becomes row `rows[i]` of `source`, for the first `positions` positions."""
        index = torch.tensor(rows, device=self.keys[0].device)
        for mine, theirs in zip(self.keys + self.values, source.keys + source.values, strict=True):
            mine[:, :, :positions] = theirs[index, :, :positions]

    def clear_from(self, position: int) -> None:
        """Zero the positions from `position` on."""
        for tensor in self.keys + self.values:
            tensor[:, :, position:] = 0.0

    def tensors(self, positions: int) -> dict[str, Tensor]:
        """The used part, for a snapshot: names to tensors [B, H, positions, head_dim]."""
        named = {f"keys.{i}": tensor for i, tensor in enumerate(self.keys)}
        named |= {f"values.{i}": tensor for i, tensor in enumerate(self.values)}
        return {name: tensor[:, :, :positions].clone() for name, tensor in named.items()}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Fill the cache with what `tensors` of a cache of the same rows gave."""
        for index, (keys, values) in enumerate(zip(self.keys, self.values, strict=True)):
            stored = tensors[f"keys.{index}"]
            keys[:, :, : stored.shape[2]] = stored
            values[:, :, : stored.shape[2]] = tensors[f"values.{index}"]


@dataclass(frozen=True)
class TextKV:
    """The cross-attention keys and values of one prompt: [L, H, S, head_dim] each."""

    keys: Tensor
    values: Tensor

    @property
    def length(self) -> int:
        return self.keys.shape[2]


@dataclass(eq=False)
class CrossCache:
    """Cross-attention's cache: for each layer keys and values [B, H, S, head_dim] and one mask.

    A row without a prompt has zero keys and values: its cross-attention is then exactly zero, which
    is the null condition of MusicGen.
    """

    keys: list[Tensor]
    values: list[Tensor]
    mask: Tensor  # [B, 1, 1, S], 0 where there is text and -inf where there is not
    lengths: list[int]  # [B], 0 for the null prompt

    @classmethod
    def allocate(
        cls,
        config: LMConfig,
        rows: int,
        text_capacity: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> CrossCache:
        shape = (rows, config.num_heads, text_capacity, config.head_dim)

        def buffers() -> list[Tensor]:
            layers = range(config.num_layers)
            return [torch.zeros(shape, dtype=dtype, device=device) for _ in layers]

        mask = torch.zeros(rows, 1, 1, text_capacity, device=device)
        return cls(buffers(), buffers(), mask, [0] * rows)

    @property
    def text_capacity(self) -> int:
        return self.mask.shape[-1]

    def first_rows(self, rows: int) -> CrossCache:
        """A cache of the first rows alone, in the same memory, with the prompts they have."""
        keys, values = [k[:rows] for k in self.keys], [v[:rows] for v in self.values]
        return CrossCache(keys, values, self.mask[:rows], self.lengths[:rows])

    def set_row(self, row: int, text: TextKV | None) -> None:
        """Give a row its prompt in place; None is the null prompt."""
        for index, (keys, values) in enumerate(zip(self.keys, self.values, strict=True)):
            keys[row].zero_()
            values[row].zero_()
            if text is not None:
                keys[row, :, : text.length] = text.keys[index]
                values[row, :, : text.length] = text.values[index]
        self.mask[row] = 0.0
        self.lengths[row] = 0 if text is None else text.length
        if text is not None:
            self.mask[row, ..., text.length :] = -torch.inf
