"""Which cache plays, which one is being filled behind it, and which can be gone back to."""

from __future__ import annotations

from collections.abc import Callable

from musicgen_rt.live.cache_slot import CacheSlot
from musicgen_rt.live.conditioning import Row, RowBias
from musicgen_rt.live.memory import Memory
from musicgen_rt.live.prefill import PrefillJob
from musicgen_rt.live.row_conditions import RowConditions
from musicgen_rt.live.slots import SlotPool
from musicgen_rt.live.token_store import TokenStore
from musicgen_rt.live.window import Window
from musicgen_rt.model.frame_conditioning import FrameConditions
from musicgen_rt.model.lm import LM


class Caches:
    """The caches of one stream. One thread."""

    def __init__(
        self,
        lm: LM,
        pool: SlotPool,
        store: TokenStore,
        conditions: RowConditions,
        bias: RowBias,
        conditions_of: Callable[[int], FrameConditions],
        chunk_frames: int | None,
    ) -> None:
        """`conditions_of(frame)` is what the score asks of a frame."""
        self.active: CacheSlot | None = None
        self._job: PrefillJob | None = None
        # The last one that was finished: a going back may need most of it again.
        self._opened: PrefillJob | None = None
        self._lm, self._pool, self._store = lm, pool, store
        self._conditions, self._bias = conditions, bias
        self._conditions_of, self._chunk_frames = conditions_of, chunk_frames

    def open(self, window: Window, rows: tuple[Row, ...], memory: Memory | None) -> CacheSlot:
        """Make a cache at the beginning of `window` the active one, filled now or before."""
        if not self._is_ahead(window, rows, memory):
            self._job = self._new_job(window, rows, memory)
        assert self._job is not None
        slot = self._job.finish()
        self._opened, self._job, self.active = self._job, None, slot
        return slot

    def reopen(self, window: Window, frame: int) -> CacheSlot | None:
        """Make the cache that reaches furthest towards `frame` of `window` the active one."""
        reaches = [(slot.reach(window, frame), slot) for slot in self._pool.slots]
        usable = [(reach, slot) for reach, slot in reaches if reach is not None]
        if not usable:
            return None
        reach, slot = max(usable, key=lambda pair: pair[0])
        slot.end = reach
        self.active = slot
        return slot

    def change_rows(self, rows: tuple[Row, ...], diagonal: int) -> CacheSlot:
        """Go on with other rows at `diagonal`: a new row starts from a conditioned one's past.

        As with a changed prompt, the past stays as it was read; only the future hears the change.
        """
        old = self.active
        assert old is not None and old.window is not None
        names = [row.name for row in old.rows]
        model = next((i for i, row in enumerate(old.rows) if row.is_conditioned), 0)
        sources = [names.index(row.name) if row.name in names else model for row in rows]
        slot = self._take(rows)
        slot.cache.copy_rows(old.cache, sources, self.position_of(old, diagonal))
        slot.window, slot.valid_from, slot.end = old.window, diagonal, diagonal
        self.active = slot
        return slot

    def fill_ahead(
        self, window: Window, rows: tuple[Row, ...], memory: Memory | None, chunks_in_time: int
    ) -> None:
        """Work a chunk towards a coming window, if no more than `chunks_in_time` can be left to do.

        Before that the cache it needs still holds the last window, to go back to.
        """
        assert self._chunk_frames is not None
        if not self._is_ahead(window, rows, memory):
            frames = window.position_of(window.since)
            if -(-frames // self._chunk_frames) + 1 < chunks_in_time:
                return
            self._job = self._new_job(window, rows, memory)
        assert self._job is not None
        if self._job.chunks_left >= chunks_in_time:
            self._job.advance()

    def position_of(self, slot: CacheSlot, diagonal: int) -> int:
        """The position in the slot's cache whose output is `diagonal`."""
        assert slot.window is not None
        return self._conditions.prefix_length(slot.rows) + slot.window.position_of(diagonal)

    def forget_from(self, frame: int) -> None:
        """What caches hold of `frame` and later is no longer true; none is active then.

        What was read of a window that begins later is kept up to `frame`: its beginning is as near
        again, and reading it all would take longer than the music lasts.
        """
        self.active = None
        self._pool.forget_from(frame)
        opened = self._opened
        if opened is not None and opened.window.since >= frame:
            self._job, self._opened = None, None
            if opened.has_slot:
                self._job = opened
                self._conditions.set_texts(opened.slot, opened.rows)
        if self._job is not None:
            self._job.forget_from(frame)

    def clean_after_failure(self, diagonal: int) -> None:
        """Wipe what a step that failed at `diagonal` left: a mask hides numbers, but not NaN."""
        slot = self.active
        assert slot is not None and slot.window is not None
        if diagonal > max(slot.valid_from, slot.window.since):
            slot.cache.clear_from(self.position_of(slot, diagonal))
        else:  # no step of it succeeded: the fault may lie in what it was filled with
            slot.cache.clear_from(0)
            slot.window = self.active = self._opened = None
        if self._job is not None:
            self._job.slot.cache.clear_from(0)
            self._job = None

    def release(self) -> None:
        """Free every cache but the active one, and what was being filled."""
        self._job = self._opened = None
        self._pool.keep_only(self.active)

    def adopt(self, window: Window, rows: tuple[Row, ...], valid_from: int, end: int) -> CacheSlot:
        """A slot for contents that come from elsewhere, made the active one."""
        slot = self._take(rows)
        slot.window, slot.valid_from, slot.end = window, valid_from, end
        self.active = slot
        return slot

    def _is_ahead(self, window: Window, rows: tuple[Row, ...], memory: Memory | None) -> bool:
        job = self._job
        if job is None or job.window != window or job.rows != rows:
            return False
        return job.memory is memory

    def _new_job(self, window: Window, rows: tuple[Row, ...], memory: Memory | None) -> PrefillJob:
        self._job = None
        return PrefillJob(
            self._lm,
            self._store,
            self._take(rows),
            window,
            self._conditions.prefix(rows, window),
            memory,
            self._conditions_of,
            self._bias,
            self._chunk_frames,
        )

    def _take(self, rows: tuple[Row, ...]) -> CacheSlot:
        """A free slot with these rows' conditions, its cache still to be filled."""
        busy = [self.active, None if self._job is None else self._job.slot]
        slot = self._pool.take(len(rows), [one for one in busy if one is not None])
        self._conditions.set_texts(slot, rows)
        return slot
