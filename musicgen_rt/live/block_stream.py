"""The endless stream of a model of masked codes: whole blocks of bars, filled in at once.

Where an autoregressive model makes a diagonal at a time, this one fills its window to the end: what
the window keeps is context, the rest is a *block*, from one roll to the next and so of whole bars
where a tempo is known. A change at a frame inside a block fills the block anew from there on, with
all before it as context. A ramp counts with its value where a fill begins.

The stream stays a function of the score: a fill depends on the controls at the frame where it
begins and on the codes before it, never on what is known of later frames, so a change that was set
late and one that was set in time give the same music.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.live.asked_tempo import TEMPO_WORDS
from musicgen_rt.live.cache_slot import CacheSlot
from musicgen_rt.live.fixed_frames import FixedFrames
from musicgen_rt.live.masked_decoder import MaskedDecoder
from musicgen_rt.live.score import Score
from musicgen_rt.live.token_store import UNKNOWN, TokenStore
from musicgen_rt.live.token_stream import StreamParts, TokenStream
from musicgen_rt.live.window import Window

# Changes of these fill the rest of a block anew.
_FILL_KEYS = (
    "prompt/", "weight/", "negative", "cfg", "temperature", "top_k", "top_p", "seed", "roll",
    "fixed", TEMPO_WORDS,
)  # fmt: skip


@dataclass(frozen=True)
class Block:
    """The outcome of a fill: codes [K, T] of frames `since` on, made in `window`."""

    window: Window
    since: int
    codes: np.ndarray

    @property
    def end(self) -> int:
        return self.since + self.codes.shape[1]


class BlockStream(TokenStream):
    """Makes blocks of tokens under a score. One thread: the engine's.

    `decoder` may be another one from the start on, such as one with a rescorer.
    """

    def __init__(
        self, parts: StreamParts, store: TokenStore, score: Score, decoder: MaskedDecoder
    ) -> None:
        super().__init__(parts, store, score)
        self.decoder = decoder
        self._block: Block | None = None

    @property
    def is_about_to_fill(self) -> bool:
        """Whether the next frame begins with a fill."""
        window = self.windows[-1] if self.windows else None
        if window is None or self._is_left(window):
            return True
        block = self._block
        return block is None or not self._holds(block, window)

    def advance(self, diagonals: int) -> None:
        """Make that many frames; whole blocks are filled as they are reached.

        Raises NonFiniteError; frames of earlier blocks stay.
        """
        target = self._cursor + diagonals
        while self._cursor < target:
            block = self._block_at_cursor()
            end = min(target, block.end, self._next_change(self._cursor, block.end))
            for frame in range(self._cursor, end):
                self.store.put(frame, block.codes[:, frame - block.since])
            self._cursor = end

    def rollback(self, frame: int) -> None:
        """Forget the frames from `frame` on. Made again without a change they are the same."""
        super().rollback(frame)
        if self._block is not None and frame <= self._block.since:
            self._block = None

    def coming(self, first_frame: int, frame: int) -> np.ndarray:
        """Codes [K, T] from `first_frame` on as they are, or will be if nothing changes.

        They end with the block that holds `frame`, or with the next change of the controls in it.
        The stream stays where it is. Raises NonFiniteError, and HistoryError for frames that are
        forgotten.
        """
        cursor, block = self._cursor, self._block
        try:
            self.advance(max(0, frame + 1 - cursor))
            if (ahead := self._block) is not None and ahead.since < self._cursor < ahead.end:
                end = self._next_change(self._cursor - 1, ahead.end)
                self.advance(max(0, end - self._cursor))
            return self.store.frames(first_frame, self._cursor)
        finally:
            self.rollback(cursor)
            self._block = block

    def steps_to_return(self, frame: int) -> int:
        """None: the frames before the one returned to are only read."""
        return 0

    def cache_in_use(self) -> CacheSlot | None:
        """None: nothing in a cache outlasts a fill."""
        return None

    def _block_at_cursor(self) -> Block:
        window = self.windows[-1] if self.windows else None
        if window is None or self._is_left(window):
            window = self._next_window(self._cursor)
            self.windows.append(window)
        block = self._block
        if block is None or not self._holds(block, window):
            block = self._block = self._filled(window, self._fill_start(window))
        return block

    def _holds(self, block: Block, window: Window) -> bool:
        """Whether a block has what the cursor needs next."""
        return block.window == window and block.since == self._fill_start(window)

    def _is_left(self, window: Window) -> bool:
        """Whether the cursor stands behind the window's end, or where a roll was asked for."""
        asked = self.score.next_change("roll", window.since)
        if asked is not None and asked <= self._cursor:
            return True
        return self._cursor >= self._end(window, self._fill_start(window))

    def _end(self, window: Window, frame: int) -> int:
        """Where the window ends, as one knows it who has heard up to `frame`."""
        return self.parts.plan.next_roll(window, _known_at(self.timeline, frame))

    def _fill_start(self, window: Window) -> int:
        """The last frame up to the cursor at which a fill of the window begins."""
        start = window.since
        while (change := self._next_change(start, self._cursor + 1)) <= self._cursor:
            start = change
        return start

    def _next_change(self, frame: int, limit: int) -> int:
        """The first change after `frame` that a fill begins at, `limit` if there is none before."""
        changes = self.score.changes_after(frame, _FILL_KEYS)
        tempi = [] if self.timeline is None else [one.frame for one in self.timeline.segments]
        later = [change for change in (*changes, *tempi) if frame < change]
        return min([*later, limit])

    def _filled(self, window: Window, since: int) -> Block:
        """Fill a window from frame `since` to its end."""
        context, end = self._context(window, since), self._end(window, since)
        coming = np.full((len(context), end - since), UNKNOWN, dtype=np.int64)
        fixed: FixedFrames | None = self.score.at("fixed", since)
        if fixed is not None:
            fixed.put_into(coming, since)
        codes = np.concatenate([context, coming], axis=1)
        made = self.fill(codes, since - context.shape[1], since)
        return Block(window, since, made[:, context.shape[1] :])

    def fill(self, codes: np.ndarray, first_frame: int, at_frame: int) -> np.ndarray:
        """Codes [K, T] from `first_frame` on with all that is UNKNOWN made.

        The controls are those of `at_frame`. The stream stays where it is. T is a window at most.
        """
        situation = self.situation(at_frame)
        slot = self.parts.pool.take(len(situation.rows), [])
        self.parts.conditions.set_texts(slot, situation.rows)
        return self.decoder.fill(codes, first_frame, slot, situation)

    def _context(self, window: Window, since: int) -> np.ndarray:
        """What a fill sees and keeps: the memory, if any, then the window up to `since`: [K, T]."""
        codes = self.store.frames(window.start, since) if since > window.start else None
        if codes is None:
            codes = np.zeros((len(self.store.delays), 0), dtype=np.int64)
        memory = self._memory_at(window.since)
        if memory is None or not window.memory_frames:
            return codes
        return np.concatenate([memory.codes[:, : window.memory_frames], codes], axis=1)


def _known_at(timeline: Timeline | None, frame: int) -> Timeline | None:
    """The tempi that were told up to `frame`."""
    if timeline is None:
        return None
    known = tuple(segment for segment in timeline.segments if segment.frame <= frame)
    return replace(timeline, segments=known) if known else None
