"""Filling a cache with a window's past: at once, or chunk by chunk behind the one that plays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from musicgen_rt.live.cache_slot import CacheSlot
from musicgen_rt.live.conditioning import RowBias
from musicgen_rt.live.memory import Memory
from musicgen_rt.live.token_store import TokenStore
from musicgen_rt.live.window import Window
from musicgen_rt.model.delay_pattern import delayed_window
from musicgen_rt.model.frame_conditioning import FrameConditions
from musicgen_rt.model.lm import LM


class PrefillJob:
    """Prefills one slot up to the diagonal at which its window begins, `window.since`.

    Chunk boundaries depend on the window alone, so the numbers are the same whenever chunks run.
    """

    def __init__(
        self,
        lm: LM,
        store: TokenStore,
        slot: CacheSlot,
        window: Window,
        prefix: Tensor | None,
        memory: Memory | None,
        conditions_of: Callable[[int], FrameConditions],
        bias: RowBias,
        chunk_frames: int | None,
    ) -> None:
        """`slot` has its rows; `prefix` is [B, P, D] of a melody checkpoint.

        `conditions_of(frame)` is what the score asks of a frame. With `chunk_frames` None the
        whole window is one chunk.
        """
        self.slot, self.window, self.rows = slot, window, slot.rows
        self._use = slot.uses
        self._lm, self._store = lm, store
        self.memory = memory
        self._conditions_of, self._row_bias = conditions_of, bias
        self._prefix = prefix
        self._prefix_length = 0 if prefix is None else prefix.shape[1]
        self._done = 0
        self._total = self.window.position_of(self.window.since)
        self._chunk = chunk_frames or max(1, self._total)

    @property
    def chunks_left(self) -> int:
        remaining = -(-(self._total - self._done) // self._chunk)
        return remaining + (self._prefix is not None)

    @property
    def has_slot(self) -> bool:
        """Whether the slot has not been given to anybody else since."""
        return self.slot.uses == self._use

    def forget_from(self, frame: int) -> None:
        """What was read of `frame` and later is not true any more; whole chunks before it are."""
        true_chunks = max(0, self.window.position_of(frame)) // self._chunk
        self._done = min(self._done, true_chunks * self._chunk)

    @torch.inference_mode()
    def advance(self) -> bool:
        """Run one chunk if its frames are made, and so beyond any change; say whether one was."""
        if self._prefix is not None:
            self._lm.prefill_prefix(self._prefix, self.slot.cache)
            self._prefix = None
            return True
        end = min(self._done + self._chunk, self._total)
        if end == self._done or self._frame_at(end - 1) >= self._store.end_frame:
            return False
        tokens = torch.from_numpy(self._tokens(self._done, end)).to(self._lm.device)
        bias = self._bias(self._done, end)
        at = self._prefix_length + self._done
        self._lm.prefill(tokens, at, self.slot.cache, self.slot.cross, bias)
        self._done = end
        return True

    def finish(self) -> CacheSlot:
        """Run what is left; the slot is then ready to make diagonal `window.since`."""
        while self.chunks_left:
            if not self.advance():
                raise AssertionError("a window was rolled before its frames were made")
        self.slot.window = self.window
        self.slot.valid_from = self.slot.end = self.window.since
        return self.slot

    def _frame_at(self, position: int) -> int:
        """The frame that a position makes; for one in the memory some frame before the window."""
        return self.window.start + position - self.window.memory_frames

    def _tokens(self, first: int, end: int) -> np.ndarray:
        """Delayed input tokens at the window's positions first .. end - 1: [K, end - first]."""
        newest = self._frame_at(end - 1)
        codes = np.zeros((len(self._store.delays), 0), dtype=np.int64)
        if newest > self.window.start:  # else only of the memory, or nothing
            codes = self._store.frames(self.window.start, newest)
        if self.memory is not None:
            remembered = self.memory.codes[:, : self.window.memory_frames]
            codes = np.concatenate([remembered, codes], axis=1)[:, : end - 1]
        delayed = delayed_window(torch.from_numpy(codes), self._store.delays, self._store.special)
        return delayed[:, first:end].numpy()

    def _bias(self, first: int, end: int) -> Tensor | None:
        """Biases [B, end - first, D] of the frames that the positions make."""
        if not self._row_bias.is_needed:
            return None
        conditions = [self._conditions_at(position) for position in range(first, end)]
        return self._row_bias(self.slot.rows, conditions)

    def _conditions_at(self, position: int) -> FrameConditions:
        if self.memory is not None and position < self.window.memory_frames:
            return self.memory.conditions[position]
        return self._conditions_of(self._frame_at(position))
