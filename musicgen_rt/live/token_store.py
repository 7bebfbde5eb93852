"""The stream's tokens, kept by absolute frame for as long as the engine may want them again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from musicgen_rt.errors import HistoryError

UNKNOWN = -1


class TokenStore:
    """Codes [K, T] of the last frames, each codebook known up to a frame of its own.

    The stream is made in *diagonals*: diagonal d holds codebook k of frame d - delays[k], so after
    it the first codebook is known up to frame d and the last one only up to d - max(delays).
    Frames before 0 do not exist: their place in a diagonal holds the special token. Frames before
    `given_frames` came with a continuation; they are known in all codebooks and never made.
    Written by the engine's thread only.
    """

    def __init__(self, delays: Sequence[int], special: int, keep_frames: int) -> None:
        self.delays = tuple(delays)
        self.special = special
        self.keep_frames = keep_frames
        self.first_frame = 0
        self.given_frames = 0
        self._codes = np.full((len(delays), 2 * keep_frames), UNKNOWN, dtype=np.int64)
        self._end = 0

    @property
    def end_frame(self) -> int:
        """The first frame of which nothing is known: also the next diagonal to make."""
        return self._end

    @property
    def complete_frames(self) -> int:
        """Frames up to here are known in all codebooks."""
        return self.complete_at(self._end)

    def complete_at(self, diagonal: int) -> int:
        """Frames that are complete once all diagonals before `diagonal` are made, of those kept."""
        return max(min(diagonal, self._end) - max(self.delays), self.given_frames)

    def forced(self, diagonal: int) -> np.ndarray:
        """What a diagonal must hold: known codes, special tokens and UNKNOWN elsewhere: [K]."""
        return np.array([self._code(k, diagonal) for k in range(len(self.delays))])

    def column(self, diagonal: int, start: int) -> np.ndarray:
        """A diagonal as the model's input in a window that begins at frame `start`: [K]."""
        frames = [diagonal - delay for delay in self.delays]
        codes = [
            self.special if frame < start else self._code(k, diagonal)
            for k, frame in enumerate(frames)
        ]
        return np.array(codes)

    def put(self, diagonal: int, tokens: np.ndarray) -> None:
        """Store one made diagonal, tokens [K]; special tokens before frame 0 are left out."""
        self._make_room(diagonal + 1)
        for codebook, delay in enumerate(self.delays):
            frame = diagonal - delay
            if frame >= self.first_frame:
                self._codes[codebook, frame - self.first_frame] = tokens[codebook]
        self._end = max(self._end, diagonal + 1)

    def give(self, codes: np.ndarray) -> None:
        """Begin the stream with whole frames [K, T]; only while it is empty."""
        if self._end:
            raise HistoryError(f"the stream has {self._end} frames; frames are given to a new one")
        frames = codes.shape[1]
        self._make_room(frames)
        self._codes[:, :frames] = codes
        self._end = self.given_frames = frames

    def frames(self, first: int, end: int) -> np.ndarray:
        """Codes [K, end - first]; UNKNOWN where not yet made.

        Raises HistoryError for frames that are forgotten or not begun.
        """
        if first < self.first_frame or end > self._end:
            raise HistoryError(
                f"frames {first} to {end} were asked for: frames {self.first_frame} to {self._end} "
                "are kept"
            )
        return self._codes[:, first - self.first_frame : end - self.first_frame].copy()

    def truncate(self, diagonal: int) -> None:
        """Forget the diagonals from `diagonal` on; given frames stay."""
        for codebook, delay in enumerate(self.delays):
            first = max(diagonal - delay, self.given_frames, self.first_frame)
            self._codes[codebook, first - self.first_frame :] = UNKNOWN
        self._end = max(min(self._end, diagonal), self.given_frames)

    def load(self, first_frame: int, given_frames: int, end_frame: int, codes: np.ndarray) -> None:
        """Take over the frames [K, end - first] that `frames` gave."""
        self.first_frame, self.given_frames = first_frame, given_frames
        self._make_room(end_frame)
        self._codes[:, : codes.shape[1]] = codes
        self._end = end_frame

    def _code(self, codebook: int, diagonal: int) -> int:
        frame = diagonal - self.delays[codebook]
        if frame < 0:
            return self.special
        if frame >= self._end or frame < self.first_frame:
            return UNKNOWN
        return int(self._codes[codebook, frame - self.first_frame])

    def _make_room(self, end: int) -> None:
        """Drop the oldest half where `end` would not fit: amortised, and memory stays flat."""
        size = self._codes.shape[1]
        if end - self.first_frame <= size:
            return
        shift = max(self._end - self.keep_frames, self.first_frame) - self.first_frame
        if end - self.first_frame - shift > size:  # a long continuation at once
            shape = (len(self.delays), end - self.first_frame + size)
            grown = np.full(shape, UNKNOWN, dtype=np.int64)
            grown[:, :size] = self._codes
            self._codes = grown
            return
        self._codes = np.roll(self._codes, -shift, axis=1)
        self._codes[:, size - shift :] = UNKNOWN
        self.first_frame += shift
