"""The caches' memory: as many rows as were ever asked for, and then the same memory for ever."""

import random

import pytest
from torch import Tensor

from musicgen_rt.live.cache_slot import CacheSlot
from musicgen_rt.live.slots import SlotPool
from musicgen_rt.live.stepper import Stepper
from musicgen_rt.model.musicgen import MusicGen

POSITIONS, TEXT_CAPACITY = 64, 8
MOST_ROWS, MOST_SLOTS = 5, 3


@pytest.fixture
def pool(models: dict[str, MusicGen]) -> SlotPool:
    return SlotPool(Stepper(models["text"].lm), POSITIONS, TEXT_CAPACITY)


def tensors_of(slot: CacheSlot) -> list[Tensor]:
    assert slot.cross is not None
    cross = slot.cross
    return [*slot.cache.keys, *slot.cache.values, *cross.keys, *cross.values, cross.mask]


def memory_of(pool: SlotPool) -> dict[int, int]:
    """Bytes at each address."""
    storages = [one.untyped_storage() for slot in pool.slots for one in tensors_of(slot)]
    return {storage.data_ptr(): storage.nbytes() for storage in storages}


def test_memory_stays_where_it_is_once_the_most_rows_were_there(pool: SlotPool) -> None:
    draw = random.Random(7)
    busy: list[CacheSlot] = []
    for rows in (MOST_ROWS, 1, 2):
        busy = [pool.take(rows, busy), *busy]
    busy = busy[:1]
    settled = memory_of(pool)
    for _ in range(200):
        rows = draw.randint(1, MOST_ROWS)
        slot = pool.take(rows, busy)
        assert all(tensor.shape[0] == rows for tensor in tensors_of(slot))
        assert all(tensor.is_contiguous() for tensor in tensors_of(slot))
        assert all(slot is not one for one in busy)
        slot.end = draw.randrange(1000)
        busy = [slot, *busy][: draw.randint(1, 2)]
        assert memory_of(pool) == settled
    assert len(pool.slots) == MOST_SLOTS


def test_busy_slots_share_no_memory(pool: SlotPool) -> None:
    busy: list[CacheSlot] = []
    for rows in (3, 1, 4, 2, 2, 5, 1):
        slot = pool.take(rows, busy)
        for tensor in tensors_of(slot):
            tensor.fill_(rows)
        busy = [slot, *busy][:2]
        for one in busy:
            assert all((tensor == one.cache.rows).all() for tensor in tensors_of(one))


def test_what_is_freed_is_asked_for_no_more(pool: SlotPool) -> None:
    wide = pool.take(MOST_ROWS, [])
    pool.take(1, [wide])
    pool.keep_only(None)
    narrow = pool.take(1, [])
    assert sum(memory_of(pool).values()) == sum(t.nbytes for t in tensors_of(narrow))
