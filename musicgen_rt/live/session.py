"""One run of the engine from frame 0 on: tokens, audio, score and timeline as they stand."""

from __future__ import annotations

import numpy as np
import torch

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.errors import HistoryError
from musicgen_rt.live.audio_stream import AudioStream
from musicgen_rt.live.build import SettledOptions, history_frames, keep_frames
from musicgen_rt.live.controls import Edit, checked_whole
from musicgen_rt.live.memory import Memory
from musicgen_rt.live.score import Change, Score, default_controls
from musicgen_rt.live.token_store import TokenStore
from musicgen_rt.live.token_stream import StreamParts, TokenStream
from musicgen_rt.model.musicgen import MusicGen

_HOUSEKEEPING_FRAMES = 500


class Session:
    """What an engine throws away at a reset and a snapshot keeps. One thread at a time."""

    def __init__(self, model: MusicGen, options: SettledOptions, parts: StreamParts) -> None:
        config = model.config
        self._model = model
        self._history_frames = history_frames(model, options)
        keep = keep_frames(model, options)
        store = TokenStore(config.lm.delays, config.lm.pad_token, keep)
        score = Score(default_controls(config.guidance_scale))
        self.stream = TokenStream(parts, store, score)
        self.audio = AudioStream(model.codec, keep)
        self.given = np.zeros((config.lm.num_codebooks, 0), dtype=np.int64)
        self._next_housekeeping = _HOUSEKEEPING_FRAMES

    @property
    def earliest_return(self) -> int:
        """The first frame that `rollback` can go to."""
        store, tokens = self.stream.store, self.stream.earliest_return
        audio = self.audio.earliest_frame(store)
        # The frames before it must be complete as far as the audio is remembered.
        return tokens if store.complete_at(tokens) >= audio else audio + max(store.delays)

    def give(self, codes: np.ndarray) -> None:
        """Begin with frames [K, T] that were not made here."""
        self.given = codes
        self.stream.give(codes)

    def step(self, frames: int) -> np.ndarray:
        """Make frames; the samples [C, N] that are final now. Raises NonFiniteError."""
        frames = checked_whole("frames", frames, 1, self._history_frames)
        self.stream.advance(frames)
        self._keep_house()
        first, end = self.audio.fed_frames, self.stream.store.complete_frames
        codes = self.stream.store.frames(first, max(first, end))
        samples: np.ndarray = self.audio.feed(torch.from_numpy(codes)).cpu().numpy()
        return samples

    def codes(self, first_frame: int, end_frame: int) -> np.ndarray:
        """The undelayed codes [K, T] of complete frames. Raises HistoryError."""
        complete = self.stream.store.complete_frames
        if not 0 <= first_frame <= end_frame <= complete:
            raise HistoryError(
                f"frames {first_frame} to {end_frame} were asked for: expected a stretch of the "
                f"{complete} that are complete"
            )
        return self.stream.store.frames(first_frame, end_frame)

    def require(self, frame: int) -> None:
        """Raise HistoryError unless `rollback(frame)` is possible."""
        earliest, now = self.earliest_return, self.stream.diagonal
        if not earliest <= frame <= now:
            raise HistoryError(
                f"frame {frame} cannot be gone back to: expected {earliest} to {now}, what is made "
                "and remembered"
            )

    def rollback(self, frame: int) -> None:
        """Go back; audio is given out again from the first incomplete frame on."""
        self.require(frame)
        self.stream.rollback(frame)
        self.audio.rollback(self.stream.store.complete_frames, self.stream.store)

    def apply(self, edits: list[Edit], frame: int) -> None:
        """Put edits into the score at `frame`, going back there first if it lies in the past."""
        self._go_back(frame)
        for edit in edits:
            self.stream.score.set(edit.key, Change(frame, edit.value, edit.ramp_frames))

    def set_tempo(self, bpm: float, beats_per_bar: int | None, frame: int) -> None:
        """A tempo from `frame` on, going back there first. Raises ParameterError."""
        timeline = self.stream.timeline
        if timeline is None or frame < timeline.segments[0].frame:
            rate_hz = self._model.config.frame_rate_hz
            new = Timeline.start(
                bpm,
                4 if beats_per_bar is None else beats_per_bar,
                frame_rate_hz=rate_hz,
                frame=frame,
            )
        else:
            new = timeline.with_tempo(frame, bpm, beats_per_bar)
        self._go_back(frame)
        self.stream.timeline = new

    def remember(self, first_frame: int, frames: int, at_frame: int) -> Memory:
        """The memory of complete frames that stay complete if one goes back to `at_frame`.

        Raises HistoryError or ParameterError.
        """
        longest = self.stream.parts.plan.longest_memory_frames
        end = first_frame + checked_whole("the memory's frames", frames, 1, longest)
        complete = self.stream.store.complete_at(at_frame)
        earliest = max(self.stream.store.first_frame, self.stream.score.forgotten_before)
        if not earliest <= first_frame <= end <= complete:
            raise HistoryError(
                f"a memory of frames {first_frame} to {end}: expected them within {earliest} to "
                f"{complete}, what is kept and complete"
            )
        conditions = tuple(
            self.stream.situation(frame).conditions for frame in range(first_frame, end)
        )
        return Memory(first_frame, self.codes(first_frame, end), conditions)

    def _go_back(self, frame: int) -> None:
        if frame < self.stream.diagonal:
            self.rollback(frame)

    def _keep_house(self) -> None:
        """Now and then, forget what no rollback can reach: memory stays flat for ever."""
        now = self.stream.diagonal
        if now >= self._next_housekeeping:
            self._next_housekeeping = now + _HOUSEKEEPING_FRAMES
            self.stream.forget_before(now - self._history_frames)
