"""From complete frames to samples, with a way back."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from musicgen_rt.live.token_store import TokenStore
from musicgen_rt.model.codec import CodecState
from musicgen_rt.model.codec_frames import FrameDecoder

# A state is kept about every half second, or piece: going back decodes at most that much again.
_STATE_EVERY_FRAMES = 25
_PIECE_FRAMES = 100


class AudioStream:
    """Streams one session's codes through the codec and remembers states to go back to.

    Sample positions are absolute: after `fed_frames` frames exactly `samples_ready(fed_frames)`
    samples have been given out, whatever the chunks were. One thread.
    """

    def __init__(self, decoder: FrameDecoder, keep_frames: int, origin_frame: int = 0) -> None:
        """Decoding begins at `origin_frame`: what lies before it is never given out."""
        self._decoder = decoder
        self._keep_frames = keep_frames
        self.origin_frame = origin_frame
        self._state = decoder.start()
        self._states: deque[CodecState] = deque([self._state])

    @property
    def fed_frames(self) -> int:
        return self._frames_of(self._state)

    @property
    def emitted_samples(self) -> int:
        return self.emitted_at(self.fed_frames)

    def emitted_at(self, frames: int) -> int:
        """The position of the next sample once `frames` frames have been fed."""
        origin_samples = self.origin_frame * self._decoder.hop_samples
        return origin_samples + self._decoder.samples_ready(frames - self.origin_frame)

    def earliest_frame(self, store: TokenStore) -> int:
        """The fewest frames that `rollback` can go back to: a state, and the codes after it."""
        frames = (self._frames_of(state) for state in self._states)
        return next((frame for frame in frames if frame >= store.first_frame), self.fed_frames)

    @torch.inference_mode()
    def feed(self, codes: Tensor) -> Tensor:
        """Decode the next frames [K, n] -> samples [C, m], the next in order.

        Raises NonFiniteError with the absolute frame; the stream then stands where it stood.
        """
        parts, states = [], [self._state]
        for some in torch.split(codes, _PIECE_FRAMES, dim=1):
            samples, state = self._decoder.decode_chunk(states[-1], some)
            parts.append(samples)
            states.append(state)
        for state in states:
            self._remember(state)
        self._state = states[-1]
        return torch.cat(parts, dim=1)

    def _remember(self, state: CodecState) -> None:
        if state.frames - self._states[-1].frames < _STATE_EVERY_FRAMES:
            return
        self._states.append(state)
        while len(self._states) > 1 and self._states[1].frames <= state.frames - self._keep_frames:
            self._states.popleft()

    @torch.inference_mode()
    def rollback(self, frame: int, store: TokenStore) -> None:
        """Stand as after the first `frame` frames; samples from there on are given out again.

        `frame` is `earliest_frame` or later.
        """
        if frame >= self.fed_frames:
            return
        while self._frames_of(self._states[-1]) > frame:
            self._states.pop()
        state = self._states[-1]
        codes = torch.from_numpy(store.frames(self._frames_of(state), frame))
        _, self._state = self._decoder.decode_chunk(state, codes)

    def _frames_of(self, state: CodecState) -> int:
        return self.origin_frame + state.frames

    def states(self) -> list[dict[str, Tensor]]:
        """All that is remembered, for a snapshot; the last state is the present one."""
        return [state.tensors() for state in (*self._states, self._state)]

    def load(self, states: Sequence[Mapping[str, Tensor]], origin_frame: int) -> None:
        """Take over what `states` gave. Raises ParameterError if it is not this codec's."""
        self.origin_frame = origin_frame
        *kept, self._state = [self._decoder.codec.state_from_tensors(state) for state in states]
        self._states = deque(kept)
