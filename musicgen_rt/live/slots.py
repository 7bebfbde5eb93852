"""The few caches an engine owns: the one that plays, the one behind it, and their reuse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from musicgen_rt.live.cache_slot import CacheSlot
from musicgen_rt.live.stepper import Stepper
from musicgen_rt.model.kv_cache import CrossCache, KVCache

# The playing window, the last or coming one, and one for a change of the number of rows.
_MAX_SLOTS = 3


@dataclass(frozen=True, eq=False)
class _Room:
    """The memory that a slot of as many rows, or fewer, can have."""

    cache: KVCache
    cross: CrossCache | None

    def slot(self, rows: int) -> CacheSlot:
        """An empty slot in it. The one before it in this memory is over."""
        cross = None if self.cross is None else self.cross.first_rows(rows)
        return CacheSlot(self.cache.first_rows(rows), cross)


class SlotPool:
    """Allocates caches and reuses them. Prompts come and go, and with them the number of rows:
    memory has the size of the most there were and stays there, or a long night would tear the heap
    to pieces.
    """

    def __init__(self, stepper: Stepper, positions: int, text_capacity: int | None) -> None:
        """`text_capacity` None means no cross-attention."""
        self.positions = positions
        self._stepper = stepper
        self._text_capacity = text_capacity
        self._rooms: dict[CacheSlot, _Room] = {}
        self._most_rows = 0

    @property
    def slots(self) -> Sequence[CacheSlot]:
        """All there are."""
        return tuple(self._rooms)

    def take(self, rows: int, busy: Sequence[CacheSlot]) -> CacheSlot:
        """A slot of that many rows, none of the at most two `busy` ones; what it held is lost."""
        self._most_rows = max(self._most_rows, rows)
        free = [slot for slot in self._rooms if not any(slot is one for one in busy)]
        free.sort(key=lambda slot: -1 if slot.window is None else slot.end)
        fitting = [slot for slot in free if slot.cache.rows == rows]
        alike = sum(slot.cache.rows == rows for slot in self._rooms)
        is_full = len(self._rooms) >= _MAX_SLOTS
        # Two of a kind: the playing one and one to prefill or to go back to.
        if fitting and (alike >= 2 or is_full):
            fitting[0].window = None
            fitting[0].uses += 1
            return fitting[0]
        room = self._leave(free[0]) if is_full else None
        if room is not None and room.cache.rows < rows:
            room = None  # freed before the larger one is asked for
        if room is None:
            room = self._allocate()
        slot = room.slot(rows)
        self._rooms[slot] = room
        return slot

    def forget_from(self, frame: int) -> None:
        """What slots hold of `frame` and later is no longer true."""
        for slot in self._rooms:
            slot.end = min(slot.end, frame)
            if slot.window is not None and slot.window.since >= frame:
                slot.window = None

    def keep_only(self, kept: CacheSlot | None) -> None:
        """Free all slots but one."""
        for slot in [slot for slot in self._rooms if slot is not kept]:
            self._leave(slot)
        self._most_rows = 0 if kept is None else kept.cache.rows

    def _leave(self, slot: CacheSlot) -> _Room:
        self._stepper.forget_graphs(slot.cache)
        slot.uses += 1  # its memory is somebody else's now
        return self._rooms.pop(slot)

    def _allocate(self) -> _Room:
        lm, rows = self._stepper.lm, self._most_rows
        cache = KVCache.allocate(lm.config, rows, self.positions, lm.dtype, lm.device)
        cross = None
        if self._text_capacity is not None:
            cross = CrossCache.allocate(lm.config, rows, self._text_capacity, lm.dtype, lm.device)
        return _Room(cache, cross)
