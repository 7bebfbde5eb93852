"""One run of the engine from frame 0 on: tokens, audio, score and timeline as they stand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.errors import HistoryError
from musicgen_rt.live.audio_stream import AudioStream
from musicgen_rt.live.block_stream import BlockStream
from musicgen_rt.live.build import SettledOptions, history_frames, keep_frames
from musicgen_rt.live.controls import Edit, checked_whole
from musicgen_rt.live.masked_decoder import MaskedDecoder
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
        self._keep_frames = keep_frames(model, options)
        store = TokenStore(config.lm.delays, config.lm.pad_token, self._keep_frames)
        score = Score(default_controls(config.guidance_scale, config.magnet))
        self.stream = _new_stream(model, parts, store, score)
        self.audio = self._new_audio(0)
        self.given = np.zeros((config.lm.num_codebooks, 0), dtype=np.int64)
        self._next_housekeeping = _HOUSEKEEPING_FRAMES

    @property
    def earliest_return(self) -> int:
        """The first frame that `rollback` can go to."""
        store, tokens = self.stream.store, self.stream.earliest_return
        audio = self.audio.earliest_frame(store)
        # The frames before it must be complete as far as the audio is remembered.
        return tokens if store.complete_at(tokens) >= audio else audio + max(store.delays)

    def give(self, codes: np.ndarray, audio_from: int = 0) -> None:
        """Begin with frames [K, T] that were not made here, heard from `audio_from` on."""
        self.given = codes
        self.stream.give(codes)
        self.audio = self._new_audio(audio_from)

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

    def replay_audio(self, frame: int) -> None:
        """Give out audio again, from a few samples before `frame` on; the tokens stay.

        Raises HistoryError for frames whose audio was not given out or is forgotten.
        """
        earliest = self.audio.earliest_frame(self.stream.store)
        if not earliest <= frame <= self.audio.fed_frames:
            raise HistoryError(
                f"the audio of frame {frame} cannot be given out again: expected {earliest} to "
                f"{self.audio.fed_frames}, what is decoded and remembered"
            )
        self.audio.rollback(frame, self.stream.store)

    def truncate_controls(self, frame: int) -> None:
        """Go back to `frame`, with the controls of then: what was set later is dropped."""
        self._go_back(frame)
        self.stream.score.truncate(frame)

    def drop_coming(self, key: str, frame: int) -> None:
        """Go back to `frame` and drop one control's changes from there on."""
        self._go_back(frame)
        self.stream.score.truncate(frame, key)

    def move_controls(self, source: int, target: int) -> None:
        """Go back to `target`, with the controls that stand at `source` and later."""
        self._go_back(target)
        self.stream.score.move(source, target)

    def apply(self, edits: Sequence[Edit], frame: int) -> None:
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

    def join_timeline(self, other: Timeline, other_frame: int, frame: int) -> None:
        """From `frame` on the timeline does what `other` does from `other_frame` on.

        Goes back there first. Raises ParameterError for another frame rate.
        """
        mine = self.stream.timeline
        if mine is None:
            new = other.excerpt(other_frame, frame)
        else:
            new = mine.joined(frame, other, other_frame)
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

    def _new_audio(self, origin_frame: int) -> AudioStream:
        return AudioStream(self._model.codec, self._keep_frames, origin_frame)

    def _go_back(self, frame: int) -> None:
        if frame < self.stream.diagonal:
            self.rollback(frame)

    def _keep_house(self) -> None:
        """Now and then, forget what no rollback can reach: memory stays flat for ever."""
        now = self.stream.diagonal
        if now >= self._next_housekeeping:
            self._next_housekeeping = now + _HOUSEKEEPING_FRAMES
            self.stream.forget_before(now - self._history_frames)


def _new_stream(
    model: MusicGen, parts: StreamParts, store: TokenStore, score: Score
) -> TokenStream:
    """The stream that suits the way a model makes its codes."""
    if model.config.magnet is None:
        return TokenStream(parts, store, score)
    return BlockStream(parts, store, score, MaskedDecoder(model.lm, model.config.magnet))
