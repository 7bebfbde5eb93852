"""Puts the stream's samples into the timeline buffer: appends, rewrites, begins anew after a hole.

What replaces samples that are already there is held back until there is enough of it: a rewrite
ends what is valid, and the old music is better than a hole.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musicgen_rt.contract.buffer import BehindCommitError, TimelineBuffer
from musicgen_rt.contract.buffer_snapshot import BufferSnapshot, PlayoutState

Samples = NDArray[np.float32]

_FADE_SECONDS = 0.010
# Two of the playout's blocks: what may pass between a look at the commit point and the write.
_GUARD_SECONDS = 0.010
_ATTEMPTS = 4


def is_moving(snapshot: BufferSnapshot) -> bool:
    """Whether the playhead goes on; while it stands there is time for everything."""
    return snapshot.state in (PlayoutState.LIVE, PlayoutState.FALLBACK)


@dataclass(frozen=True)
class Written:
    """Samples [first, end) that have come to stand in the buffer."""

    first_sample: int
    end_sample: int
    is_rewrite: bool


class BufferWriter:
    """The writing end of the timeline buffer. One thread: the engine's.

    Positions are session samples, samples are [C, N].
    """

    def __init__(self, buffer: TimelineBuffer) -> None:
        self.buffer = buffer
        self.fade_samples = round(_FADE_SECONDS * buffer.rate_hz)
        self._guard_samples = round(_GUARD_SECONDS * buffer.rate_hz)
        self._held: _Held | None = _Held(0, np.zeros((buffer.channels, 0), np.float32))
        self._next = 0
        self._from = 0

    @property
    def is_holding(self) -> bool:
        """Whether samples wait to replace what is in the buffer, or to follow a hole."""
        return self._held is not None

    def lacks(self, reserve_samples: int) -> bool:
        """Whether what is held is too little to be written."""
        if self._held is None:
            return False
        first = max(self._held.first_sample, self.earliest_sample())
        return self._held.is_going_over or self._held.end_sample - first < reserve_samples

    @property
    def end_sample(self) -> int:
        """Where the music ends that is written or held: the position of what must come next."""
        return max(self._next, self._from)

    @property
    def room_end(self) -> int:
        """The buffer holds nothing beyond this sample yet."""
        buffer = self.buffer
        reader = buffer.snapshot().reader_sample
        return reader + buffer.capacity_samples - buffer.history_samples

    def earliest_sample(self) -> int:
        """The first sample that a write may still reach."""
        return self._earliest(self.buffer.snapshot())

    def _earliest(self, snapshot: BufferSnapshot) -> int:
        guard_samples = self._guard_samples if is_moving(snapshot) else 0
        return snapshot.commit_sample + guard_samples

    def redirect(self, next_sample: int, from_sample: int) -> None:
        """Samples come from `next_sample` on now; they replace what is there from `from_sample`.

        What is already there, or held, goes over into them with a short crossfade.
        """
        snapshot = self.buffer.snapshot()
        is_append = from_sample == snapshot.written_end and snapshot.stretch_start < from_sample
        if self._held is not None:
            self._held = self._held.cut(from_sample, self.fade_samples)
        elif not is_append:
            nothing = np.zeros((self.buffer.channels, 0), np.float32)
            self._held = _Held(from_sample, nothing)
        self._next, self._from = next_sample, from_sample

    def put(self, samples: Samples, reserve_samples: int) -> Written | None:
        """Take the next samples; what has now come to stand in the buffer, if anything has.

        While holding, `reserve_samples` beyond the commit point are waited for. Raises
        BehindCommitError if the playhead has passed the end of what is written: a hole.
        """
        unwanted = min(max(0, self._from - self._next), samples.shape[1])
        first = self._next + unwanted
        self._next += samples.shape[1]
        samples = samples[:, unwanted:]
        if self._held is not None:
            self._held = self._held.with_more(first, samples)
            return self.flush(reserve_samples)
        return self._append(first, samples)

    def flush(self, reserve_samples: int) -> Written | None:
        """Write what is held, if there is enough of it from the commit point on, and room for it.

        What there is no room for yet is held on, and what ends within a crossfade.
        """
        for _ in range(_ATTEMPTS):
            held, snapshot = self._held, self.buffer.snapshot()
            if held is None or held.is_going_over:
                return None
            first = max(held.first_sample, self._earliest(snapshot))
            count = min(held.end_sample, self.room_end) - first
            if count < reserve_samples:
                return None
            if snapshot.commit_sample < snapshot.written_end < first:
                return None  # there is a hole in between: the music before it is heard out
            is_rewrite = snapshot.stretch_start <= first <= snapshot.written_end
            samples = held.samples[:, first - held.first_sample :]
            try:
                if not is_rewrite:
                    self.buffer.start_stretch(first)
                self.buffer.write(first, samples[:, :count], self.fade_samples)
            except BehindCommitError:
                continue
            self._hold(first + count, samples[:, count:])
            return Written(first, first + count, is_rewrite)
        return None

    def _append(self, first: int, samples: Samples) -> Written | None:
        count = max(0, min(samples.shape[1], self.room_end - first))
        if count:
            self.buffer.write(first, samples[:, :count])
        self._hold(first + count, samples[:, count:])
        return Written(first, first + count, is_rewrite=False) if count else None

    def _hold(self, first: int, samples: Samples) -> None:
        """Keep what there was no room for; without any, what comes is appended."""
        self._held = _Held(first, samples) if samples.shape[1] else None


@dataclass(frozen=True)
class _Held:
    """Samples [C, N] from `first_sample` on that wait.

    `tail` [C, F] is what they would have gone on to; it goes over into what comes next, of which
    `num_faded` samples have come.
    """

    first_sample: int
    samples: Samples
    tail: Samples | None = None
    num_faded: int = 0

    @property
    def end_sample(self) -> int:
        return self.first_sample + self.samples.shape[1]

    @property
    def is_going_over(self) -> bool:
        """Whether the crossfade is still to come, or the rest of it."""
        return self.tail is not None and self.num_faded < self.tail.shape[1]

    def cut(self, sample: int, fade_samples: int) -> _Held:
        """Only what lies before `sample`; a little of what follows is kept to fade out."""
        if sample <= self.first_sample:
            return _Held(sample, self.samples[:, :0])
        if sample >= self.end_sample:
            return self
        n = sample - self.first_sample
        return _Held(self.first_sample, self.samples[:, :n], self.samples[:, n : n + fade_samples])

    def with_more(self, first_sample: int, samples: Samples) -> _Held:
        """With the next samples, which begin at `first_sample`."""
        if not samples.shape[1]:
            return self
        if self.end_sample < first_sample:  # what lies between was never made: it stays as it is
            return _Held(first_sample, samples)
        faded = self.num_faded
        if self.tail is not None:
            samples, length = samples.copy(), self.tail.shape[1]
            n = min(length - faded, samples.shape[1])
            gain = (np.arange(faded, faded + n, dtype=np.float32) + 1) / (length + 1)
            samples[:, :n] = samples[:, :n] * gain + self.tail[:, faded : faded + n] * (1 - gain)
            faded += n
        whole = np.concatenate([self.samples, samples], axis=1)
        return _Held(self.first_sample, whole, self.tail, faded)
