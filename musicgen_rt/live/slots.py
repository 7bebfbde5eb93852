"""The few caches an engine owns: the one that plays, the one behind it, and their reuse."""

from __future__ import annotations

from collections.abc import Sequence

from musicgen_rt.live.cache_slot import CacheSlot
from musicgen_rt.live.stepper import Stepper
from musicgen_rt.model.kv_cache import CrossCache, KVCache

# The playing window, the last or coming one, and one for a change of the number of rows.
_MAX_SLOTS = 3


class SlotPool:
    """Allocates caches by number of rows and reuses them; memory stays flat."""

    def __init__(self, stepper: Stepper, positions: int, text_capacity: int | None) -> None:
        """`text_capacity` None means no cross-attention."""
        self.slots: list[CacheSlot] = []
        self._stepper = stepper
        self.positions = positions
        self._text_capacity = text_capacity

    def take(self, rows: int, busy: Sequence[CacheSlot]) -> CacheSlot:
        """A slot of that many rows, none of the at most two `busy` ones; what it held is lost."""
        free = [slot for slot in self.slots if not any(slot is one for one in busy)]
        free.sort(key=lambda slot: -1 if slot.window is None else slot.end)
        fitting = [slot for slot in free if slot.cache.rows == rows]
        alike = sum(slot.cache.rows == rows for slot in self.slots)
        is_full = len(self.slots) >= _MAX_SLOTS
        # Two of a kind: the playing one and one to prefill or to go back to.
        if fitting and (alike >= 2 or is_full):
            fitting[0].window = None
            return fitting[0]
        if is_full:
            self.slots.remove(free[0])
            self._stepper.forget_graphs(free[0].cache)
        slot = self._allocate(rows)
        self.slots.append(slot)
        return slot

    def forget_from(self, frame: int) -> None:
        """What slots hold of `frame` and later is no longer true."""
        for slot in self.slots:
            slot.end = min(slot.end, frame)
            if slot.window is not None and slot.window.since >= frame:
                slot.window = None

    def keep_only(self, kept: CacheSlot | None) -> None:
        """Free all slots but one."""
        for slot in self.slots:
            if slot is not kept:
                self._stepper.forget_graphs(slot.cache)
        self.slots = [slot for slot in self.slots if slot is kept]

    def _allocate(self, rows: int) -> CacheSlot:
        lm = self._stepper.lm
        cache = KVCache.allocate(lm.config, rows, self.positions, lm.dtype, lm.device)
        cross = None
        if self._text_capacity is not None:
            cross = CrossCache.allocate(lm.config, rows, self._text_capacity, lm.dtype, lm.device)
        return CacheSlot(cache, cross)
