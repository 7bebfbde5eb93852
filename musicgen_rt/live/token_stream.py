"""The endless stream of tokens: steps, rolling windows, changing rows, and going back.

The stream is a function of the score, the timeline and the frames it was given. Whatever it has
made it can make again, which is what rollback, snapshots and replay stand on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.errors import NonFiniteError
from musicgen_rt.live.cache_slot import CacheSlot
from musicgen_rt.live.caches import Caches
from musicgen_rt.live.conditioning import (
    STRUCTURE_KEYS,
    ModelAbilities,
    Row,
    RowBias,
    Situation,
    situation_at,
)
from musicgen_rt.live.memory import Memory
from musicgen_rt.live.row_conditions import RowConditions
from musicgen_rt.live.score import Score
from musicgen_rt.live.slots import SlotPool
from musicgen_rt.live.step_blocks import step_block
from musicgen_rt.live.stepper import Stepper
from musicgen_rt.live.token_store import TokenStore
from musicgen_rt.live.window import Window, WindowPlan

# Steps run together at most, and the distance over which a chunk of prefill is spread.
_MAX_BLOCK_STEPS = 16
_STEPS_PER_PREFILL_CHUNK = 10
# Changes, as `Score.size` counts them, and tempi are kept for the session's log up to so many,
# about 30 MB.
_MAX_CHANGES = 100_000
_MAX_TEMPI = 10_000


@dataclass(frozen=True)
class StreamParts:
    """What a session's streams share, one after the other.

    `prefill_chunk_frames` None prefills a window all at once.
    """

    stepper: Stepper
    conditions: RowConditions
    bias: RowBias
    abilities: ModelAbilities
    plan: WindowPlan
    pool: SlotPool
    prefill_chunk_frames: int | None


class TokenStream:
    """Makes diagonals of tokens under a score. One thread: the engine's."""

    def __init__(self, parts: StreamParts, store: TokenStore, score: Score) -> None:
        self.parts, self.store, self.score = parts, store, score
        self.timeline: Timeline | None = None
        self.windows: list[Window] = []
        self.windows_forgotten = 0
        self.caches = Caches(
            parts.stepper.lm,
            parts.pool,
            store,
            parts.conditions,
            parts.bias,
            lambda frame: self.situation(frame).conditions,
            parts.prefill_chunk_frames,
        )
        self._cursor = 0
        self._planned: tuple[Window, Timeline | None, int] | None = None

    @property
    def diagonal(self) -> int:
        """The next diagonal to make; frames before it cannot be changed without going back."""
        return self._cursor

    @property
    def is_about_to_fill(self) -> bool:
        """Whether the next step begins with filling a cache, which may take long."""
        return self.caches.active is None

    def situation(self, frame: int) -> Situation:
        """All that the step of a frame depends on besides the tokens."""
        return situation_at(self.score, self.timeline, frame, self.parts.abilities)

    def give(self, codes: np.ndarray) -> None:
        """Begin with frames [K, T] that were not made here: the stream continues them."""
        self.store.give(codes)
        self._cursor = self.store.end_frame

    def resume(self, windows: Sequence[Window], windows_forgotten: int, diagonal: int) -> None:
        """Stand where another stream stood, whose score, timeline and store were taken over."""
        self.windows, self.windows_forgotten = list(windows), windows_forgotten
        self._cursor = diagonal

    def advance(self, diagonals: int) -> None:
        """Make that many diagonals.

        Raises NonFiniteError at the first one whose logits are not finite; those before it stay.
        """
        target = self._cursor + diagonals
        while self._cursor < target:
            slot, situation = self._prepare()
            self._run_block(slot, situation, target)
            self._fill_ahead(slot)

    def rollback(self, frame: int) -> None:
        """Forget the diagonals from `frame` on. Made again without a change they are the same.

        The finer codebooks of the last max(delays) frames before `frame` go too: they are made
        together with what comes after. So the stream does not depend on when a change was known.
        `frame` is `earliest_return` or later.
        """
        if frame == self._cursor:
            return
        self.store.truncate(frame)
        self.caches.forget_from(frame)
        while self.windows and self.windows[-1].since >= frame:
            self.windows.pop()
        self._cursor = frame

    @property
    def earliest_return(self) -> int:
        """The first frame that `rollback` can go to."""
        for index, window in enumerate(self.windows):
            if window.start >= self.store.first_frame:
                # A window's own first frame is made in the decision that the one before is full.
                is_first = index == self.windows_forgotten == 0
                return window.since if is_first else window.since + 1
        return self._cursor

    def steps_to_return(self, frame: int) -> int:
        """How many diagonals `rollback(frame)` leaves to be made again before the next new one."""
        window = next((w for w in reversed(self.windows) if w.since < frame), None)
        if window is None or frame >= self._cursor:
            return 0
        reaches = (slot.reach(window, frame) for slot in self.parts.pool.slots)
        return frame - max((reach for reach in reaches if reach is not None), default=window.since)

    def forget_before(self, frame: int) -> None:
        """Let go of windows that only frames before `frame` need, and of too long a past."""
        while len(self.windows) > 1 and self.windows[1].since < frame:
            self.windows.pop(0)
            self.windows_forgotten += 1
        keep = min([frame, *(window.start for window in self.windows[:1])])
        if self.score.size > _MAX_CHANGES:
            self.score.forget_before(keep)
        if self.timeline is not None and len(self.timeline.segments) > _MAX_TEMPI:
            self.timeline = self.timeline.forget_before(keep)

    def cache_in_use(self) -> CacheSlot | None:
        """The active cache, if it holds all that is made in the newest window."""
        slot = self.caches.active
        has_steps = slot is not None and slot.end == self._cursor > self.windows[-1].since
        return slot if has_steps else None

    def rows_of_cache(self) -> tuple[Row, ...]:
        """The rows of the active cache, whose last step is the one before the cursor."""
        return self.situation(max(self._cursor - 1, self.windows[-1].since)).rows

    def _prepare(self) -> tuple[CacheSlot, Situation]:
        """Make the active cache the right one for the next diagonal."""
        situation = self.situation(self._cursor)
        window = self.windows[-1] if self.windows else None
        if window is None or self._is_over(window, situation.rows):
            window = self._next_window(self._cursor)
            slot = self.caches.open(window, situation.rows, self._memory_at(window.since))
            self.windows.append(window)
        else:
            slot = self.caches.active or self._rebuild(window)
            if [row.name for row in slot.rows] != [row.name for row in situation.rows]:
                slot = self.caches.change_rows(situation.rows, self._cursor)
        self.parts.conditions.set_texts(slot, situation.rows)
        return slot, situation

    def _is_over(self, window: Window, rows: tuple[Row, ...]) -> bool:
        """Whether the next diagonal needs a new window: this one is full, or its prefix is old."""
        if self._cursor >= self._next_roll(window):
            return True
        return self._has_prefix and self.situation(window.since).rows != rows

    def _next_roll(self, window: Window) -> int:
        planned = self._planned
        if planned is None or planned[0] != window or planned[1] is not self.timeline:
            frame = self.parts.plan.next_roll(window, self.timeline)
            planned = self._planned = (window, self.timeline, frame)
        asked = self.score.next_change("roll", window.since)
        return planned[2] if asked is None else min(planned[2], asked)

    def _next_window(self, since: int) -> Window:
        # A continuation's frames all count while they fit, as in the reference.
        if not self.windows and since < self.parts.plan.capacity_frames:
            return Window(start=0, since=since)
        memory = self._memory_at(since)
        remembered = range(0) if memory is None else memory.frames
        max_bars = int(self.score.at("context_bars", since)) or None
        return self.parts.plan.roll(since, self.timeline, remembered, max_bars)

    def _memory_at(self, frame: int) -> Memory | None:
        memory: Memory | None = self.score.at("memory", frame)
        return memory

    def _rebuild(self, window: Window) -> CacheSlot:
        """Fill a cache by making the window's known diagonals again, exactly as they were made."""
        target = self._cursor
        slot = self.caches.reopen(window, target)
        if slot is None:
            rows = self.situation(window.since).rows
            slot = self.caches.open(window, rows, self._memory_at(window.since))
        try:
            self._cursor = slot.end
            self.advance(target - slot.end)
        finally:
            self._cursor = target
        assert self.caches.active is not None
        return self.caches.active

    def _run_block(self, slot: CacheSlot, first: Situation, target: int) -> None:
        """As many steps as can run together from the cursor on, up to `target`."""
        position = self.caches.position_of(slot, self._cursor)
        situations = self._alike(slot, first, position, target)
        stepper, vocab_size = self.parts.stepper, self.parts.stepper.lm.config.vocab_size
        block = step_block(
            slot, situations, self._cursor, position, self.store, self.parts.bias, vocab_size
        )
        result = stepper.run(block, slot.cache, slot.cross)
        for tokens, is_finite in zip(result.tokens.numpy(), result.is_finite.tolist(), strict=True):
            if not is_finite:
                self.caches.clean_after_failure(self._cursor)
                raise NonFiniteError("logits", self._cursor)
            self.store.put(self._cursor, tokens)
            self._cursor += 1
            slot.end = self._cursor

    def _alike(
        self, slot: CacheSlot, first: Situation, position: int, target: int
    ) -> list[Situation]:
        """The situations of the coming diagonals that run under the same rows in one block."""
        assert slot.window is not None
        room = min(target, self._next_roll(slot.window)) - self._cursor
        span_room = slot.cache.span(position) - position
        limit = min(room, span_room, _MAX_BLOCK_STEPS)
        situations = [first]
        while len(situations) < limit:
            situation = self.situation(self._cursor + len(situations))
            if situation.rows != first.rows:
                break
            situations.append(situation)
        return situations[: _power_of_two(len(situations))]

    def _fill_ahead(self, slot: CacheSlot) -> None:
        """Work on the next window's prefill, chunk by chunk, when its beginning comes near."""
        chunk = self.parts.prefill_chunk_frames
        if chunk is None:
            return
        most_chunks = self.parts.plan.capacity_frames // chunk + 2
        since = self._next_opening(slot, self._cursor + most_chunks * _STEPS_PER_PREFILL_CHUNK)
        chunks_in_time = (since - self._cursor) // _STEPS_PER_PREFILL_CHUNK
        if since > self._cursor and chunks_in_time < most_chunks:
            rows, memory = self.situation(since).rows, self._memory_at(since)
            self.caches.fill_ahead(self._next_window(since), rows, memory, chunks_in_time)

    def _next_opening(self, slot: CacheSlot, horizon: int) -> int:
        """The diagonal at which the next window is expected to begin."""
        assert slot.window is not None
        roll_at = self._next_roll(slot.window)
        if self._has_prefix:
            for frame in self.score.changes_after(self._cursor, STRUCTURE_KEYS):
                if frame >= min(roll_at, horizon):
                    break
                if self.situation(frame).rows != slot.rows:
                    return frame
        return roll_at

    @property
    def _has_prefix(self) -> bool:
        return self.parts.abilities.kind == "melody"


def _power_of_two(limit: int) -> int:
    """The largest power of two up to `limit`: few block sizes, so few graphs to capture."""
    return 1 << (max(1, limit).bit_length() - 1)
