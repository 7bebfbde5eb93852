"""The failover: the engine's music while it is there and sane, else the last good bars in a loop.

A few milliseconds of the engine's music are always in hand, claimed and checked, before they are
needed. So whatever happens to the buffer, there is something left to fade out of; and a sample
that is not finite, or absurdly loud, is seen before it can be heard. Back to the engine it goes on
a bar line only, when there is enough music behind it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
from numpy.typing import NDArray

from bridge.playout.fade import fade_in, mix
from bridge.playout.grid import Grid
from bridge.playout.history import History
from bridge.playout.loop import Loop, choose_bars
from musicgen_rt.contract.buffer import TimelineBuffer
from musicgen_rt.contract.buffer_snapshot import PlayoutState

FADE_SECONDS = 0.005
# 18 dB over full scale: no music, a fault.
MAX_SANE_LEVEL = 8.0

_MAX_EVENTS = 64


class Readiness(Enum):
    """Whether samples can be read now."""

    READY = auto()
    LATER = auto()  # the engine may still bring them: ask again while the queue lasts
    STANDING = auto()  # nothing was ever written: the playhead stands still


@dataclass(frozen=True)
class FallbackChanged:
    """The loop begins or ends at `sample`."""

    is_on: bool
    sample: int


@dataclass(frozen=True)
class BadSamples:
    """The engine's samples from `sample` on are not finite or absurdly loud; they are not heard."""

    sample: int


Event = FallbackChanged | BadSamples


class Failover:
    """Reads the timeline buffer in order, for ever. [pump]

    `position` is the next session sample that `read` gives. `start_samples` must be there before
    the first note, `return_samples` behind a bar line before the loop ends there.
    """

    def __init__(
        self, buffer: TimelineBuffer, grid: Grid, start_samples: int, return_samples: int
    ) -> None:
        seen = buffer.snapshot()
        self._buffer = buffer
        self._grid = grid
        self._start_samples = start_samples
        self._return_samples = return_samples
        self._fade_samples = round(FADE_SECONDS * buffer.rate_hz)
        self._curve = fade_in(self._fade_samples)
        self.position = seen.commit_sample
        self.events: deque[Event] = deque(maxlen=_MAX_EVENTS)
        self.bad_chunks = 0
        self._history = History(buffer.channels, buffer.history_samples)
        self._loop: Loop | None = None
        # What is claimed and sane from `position` on: [C, n].
        self._held = self._silence(0)
        # What still fades out under the music: [C, n], n <= fade_samples.
        self._tail = self._silence(self._fade_samples)
        self._committed = self.position
        self._bad_sample = -1
        self._return_bar_line = 0
        self.state = PlayoutState.WAITING
        self._recall(seen.stretch_start)

    def set_grid(self, grid: Grid) -> None:
        """Follow another timeline."""
        self._grid = grid
        if self._loop is not None:
            self._loop.set_grid(grid)
        if self.state is PlayoutState.FALLBACK:
            self._find_bar_line(self.position + self._fade_samples)

    def prepare(self, count: int, is_urgent: bool) -> Readiness:
        """Look whether the next `count` samples can be read; if it is urgent they can.

        After LATER or STANDING, `read` must not be called.
        """
        if self.state is PlayoutState.WAITING:
            self._leave_waiting()
        if self.state is PlayoutState.WAITING:
            return Readiness.STANDING
        if is_urgent:
            return Readiness.READY
        if self.state is PlayoutState.LIVE:
            is_ready = self._held.shape[1] >= count + self._fade_samples or self._can_hold(count)
        else:
            begin = self._return_start()
            is_due = self.position <= begin < self.position + count
            is_ready = not (is_due and self._buffer.valid_from(begin).is_changing)
        return Readiness.READY if is_ready else Readiness.LATER

    def read(self, count: int) -> NDArray[np.float32]:
        """The next samples [C, count], come what may."""
        parts = []
        while count > 0:
            part = self._live(count) if self.state is PlayoutState.LIVE else self._looped(count)
            part = self._over_tail(part)
            parts.append(part)
            count -= part.shape[1]
        if self.state is PlayoutState.FALLBACK and self.position > self._committed:
            self._committed = self.position
            self._buffer.commit(self._committed)
        return np.concatenate(parts, axis=1)

    def _leave_waiting(self) -> None:
        valid = self._buffer.valid_from(self.position)
        if valid.end_sample - self.position >= self._start_samples:
            self.state = PlayoutState.LIVE
            return
        # Another playout process began the session, or the engine begins it later.
        is_begun = self.position > 0 or self._buffer.snapshot().stretch_start > self.position
        if is_begun and not valid.is_changing:
            self._enter_loop()

    def _can_hold(self, count: int) -> bool:
        """Whether the engine has written what must be in hand for `count` samples, unchanged."""
        needed = self.position + count + self._fade_samples
        return self._buffer.valid_from(self.position + self._held.shape[1]).end_sample >= needed

    def _live(self, count: int) -> NDArray[np.float32]:
        """Up to `count` samples of the engine's; fewer, or none, where they end."""
        self._hold(count + self._fade_samples)
        count = max(0, min(count, self._held.shape[1] - self._fade_samples))
        if count == 0:
            self._enter_loop()
            return self._held
        samples, self._held = self._held[:, :count], self._held[:, count:]
        self._history.append(self.position, samples)
        self.position += count
        return samples

    def _hold(self, count: int) -> None:
        """Claim so much that `count` samples are in hand, or all there is."""
        held = self._held.shape[1]
        if held >= count:
            return
        first = self.position + held
        self._committed = self.position + count
        claimed = self._buffer.claim(first, count - held)
        if claimed is None:
            return
        sane = _sane_count(claimed)
        if sane < claimed.shape[1]:
            self._report_bad(first + sane)
        self._held = np.concatenate([self._held, claimed[:, :sane]], axis=1)

    def _looped(self, count: int) -> NDArray[np.float32]:
        """Up to `count` samples of the loop; up to where the engine's music is to set in again."""
        if self._return_start() < self.position:
            self._find_bar_line(self.position + self._fade_samples)
        if self._return_start() == self.position:
            if self._enter_live():
                return self._held[:, :0]
            self._find_bar_line(self._return_bar_line + 1)
        count = min(count, self._return_start() - self.position)
        self.position += count
        return self._silence(count) if self._loop is None else self._loop.read(count)

    def _enter_loop(self) -> None:
        """Fade from what is in hand into the last good bars."""
        self._tail = self._outgoing(self._held[:, : self._fade_samples])
        self._held = self._held[:, :0]
        bars = choose_bars(self._history.stretches, self._grid)
        self._loop = None
        if bars is not None:
            rate_hz = self._buffer.rate_hz
            self._loop = Loop(self._history, bars, self._grid, self.position, rate_hz)
        self.state = PlayoutState.FALLBACK
        self.events.append(FallbackChanged(True, self.position))
        self._find_bar_line(self.position + self._fade_samples)

    def _enter_live(self) -> bool:
        """Fade from the loop into the engine's music, if it is there and sane."""
        needed = self._return_bar_line + self._return_samples - self.position
        ahead = self._buffer.peek(self.position, needed)
        if ahead.shape[1] < needed:
            return False
        if _sane_count(ahead) < needed:
            self._report_bad(self.position + _sane_count(ahead))
            return False
        self._hold(2 * self._fade_samples)
        if self._held.shape[1] < 2 * self._fade_samples:
            self._held = self._held[:, :0]
            return False
        if self._loop is None:
            self._tail = self._outgoing(self._silence(0))
        else:
            self._tail = self._outgoing(self._loop.read(self._fade_samples))
        self._loop = None
        self.state = PlayoutState.LIVE
        self.events.append(FallbackChanged(False, self.position))
        return True

    def _find_bar_line(self, first_sample: int) -> None:
        """Choose the bar line at which the engine's music may set in again."""
        self._return_bar_line = self._grid.bar_line_at_or_after(first_sample).sample

    def _return_start(self) -> int:
        """Where the fade into the engine's music begins: before the bar line if there is any."""
        line = self._return_bar_line
        stretch_start = self._buffer.snapshot().stretch_start
        return max(line - self._fade_samples, min(stretch_start, line))

    def _outgoing(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """`samples` as they would be heard, over what still fades out; then silence."""
        missing = self._fade_samples - samples.shape[1]
        return self._mixed(np.concatenate([samples, self._silence(missing)], axis=1))[0]

    def _over_tail(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        mixed, self._tail = self._mixed(samples)
        return mixed

    def _mixed(
        self, samples: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """`samples` [C, N] with the tail under their beginning, and what is left of the tail."""
        count = min(samples.shape[1], self._tail.shape[1])
        if count == 0:
            return samples, self._tail
        begun = self._fade_samples - self._tail.shape[1]
        mixed = samples.copy()
        weights = self._curve[begun : begun + count]
        mixed[:, :count] = mix(self._tail[:, :count], samples[:, :count], weights)
        return mixed, self._tail[:, count:]

    def _recall(self, stretch_start: int) -> None:
        """Take what an earlier playout process played as history."""
        first = max(stretch_start, self.position - self._buffer.history_samples, 0)
        samples = self._buffer.peek(first, max(0, self.position - first))
        self._history.append(first, samples[:, : _sane_count(samples)])

    def _report_bad(self, sample: int) -> None:
        if sample == self._bad_sample:
            return
        self._bad_sample = sample
        self.bad_chunks += 1
        self.events.append(BadSamples(sample))

    def _silence(self, count: int) -> NDArray[np.float32]:
        return np.zeros((self._buffer.channels, count), np.float32)


def _sane_count(samples: NDArray[np.float32]) -> int:
    """How many samples [C, N] from the first on are finite and not absurdly loud."""
    # A comparison with NaN is false.
    is_bad = ~(np.abs(samples) <= MAX_SANE_LEVEL).all(axis=0)
    return int(is_bad.argmax()) if is_bad.any() else samples.shape[1]
