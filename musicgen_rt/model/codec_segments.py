"""Streaming for codecs that code audio in overlapping segments (EnCodec at 48 kHz).

Each segment is decoded on its own, times its own scale, and cross-faded into its neighbours by
triangular weights (EnCodec, section on overlapping segments). A segment can only be decoded once
all of its frames are there, so output comes a segment at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from musicgen_rt.errors import ParameterError
from musicgen_rt.model.codec_config import CodecConfig
from musicgen_rt.model.codec_seanet import check_shape, read_count

# Decodes one segment: codes [B, K, T] to samples [B, C, T * hop].
DecodeSegment = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class SegmentState:
    """Where a segmented streaming decode stands: an immutable value. Never write to the tensors.

    `frames` frames have been fed. `codes` [B, K, n] are those of the segment under way, `scales`
    [B, 1] is its scale ([B, 0] before its first frame). `faded` [B, C, m] is the weighted sum of
    the segments so far where later ones still add to it, `weights` [m] the sum of their weights.
    """

    frames: int
    codes: Tensor
    scales: Tensor
    faded: Tensor
    weights: Tensor

    def tensors(self) -> dict[str, Tensor]:
        """The state as a flat dictionary of tensors, for a snapshot."""
        return {
            "frames": torch.tensor(self.frames),
            "codes": self.codes,
            "scales": self.scales,
            "faded": self.faded,
            "weights": self.weights,
        }


class SegmentStream:
    """Turns a decoder of single segments into one of streams; holds no state itself."""

    def __init__(self, config: CodecConfig, decode_segment: DecodeSegment) -> None:
        assert config.segment_frames is not None and config.segment_stride_samples is not None
        self._config = config
        self._decode_segment = decode_segment
        self._segment_frames: int = config.segment_frames
        self._stride_samples: int = config.segment_stride_samples

    def start(self, batch: int, device: torch.device) -> SegmentState:
        """The state before the first frame."""
        return SegmentState(
            frames=0,
            codes=torch.zeros(batch, 0, 0, dtype=torch.long, device=device),
            scales=torch.zeros(batch, 0, device=device),
            faded=torch.zeros(batch, self._config.audio_channels, 0, device=device),
            weights=torch.zeros(0, device=device),
        )

    def starts_within(self, frames: int, new_frames: int) -> int:
        """Segments whose first frame is among `new_frames` frames that follow `frames` others."""
        size = self._segment_frames
        return -(-(frames + new_frames) // size) - -(-frames // size)

    def push(
        self, state: SegmentState, codes: Tensor, scales: Tensor
    ) -> tuple[Tensor, SegmentState]:
        """Feed codes [B, K, n] and the scales [B, m] of the segments that begin in them.

        Returns the samples [B, C, s] that are final now, and the new state.
        """
        frames = state.frames + codes.shape[2]
        if state.codes.shape[2]:
            codes = torch.cat((state.codes, codes), dim=2)
        scales = torch.cat((state.scales, scales), dim=1)
        ready = []
        while codes.shape[2] >= self._segment_frames:
            segment, codes = codes.tensor_split((self._segment_frames,), dim=2)
            state = self._add(state, self._decode_segment(segment) * scales[:, :1, None])
            scales = scales[:, 1:]
            ready.append(self._faded(state, self._stride_samples))
            state = replace(
                state,
                faded=state.faded[:, :, self._stride_samples :].clone(),
                weights=state.weights[self._stride_samples :].clone(),
            )
        state = replace(state, frames=frames, codes=codes.clone(), scales=scales.clone())
        return torch.cat(ready, dim=2) if ready else state.faded[:, :, :0], state

    def finish(self, state: SegmentState) -> Tensor:
        """The last samples [B, C, s] of a stream. `state` stays usable."""
        if state.codes.shape[2]:
            state = self._add(state, self._decode_segment(state.codes) * state.scales[:, :1, None])
        return self._faded(state, state.faded.shape[2])

    def _add(self, state: SegmentState, segment: Tensor) -> SegmentState:
        """Add a decoded segment [B, C, s] to the cross-fade."""
        length = segment.shape[2]
        # The first segment sets the length of the triangle, and all but the last are whole. A
        # lone short segment comes out as it is under any weights.
        whole = self._segment_frames * self._config.hop_samples
        ramp = torch.linspace(0, 1, whole + 2, device=segment.device)[1:-1]
        weights = (0.5 - (ramp - 0.5).abs())[:length]
        total = max(length, state.faded.shape[2])
        faded = _lengthened(state.faded, total)
        faded[:, :, :length] += weights * segment
        sums = _lengthened(state.weights, total)
        sums[:length] += weights
        return replace(state, faded=faded, weights=sums)

    def _faded(self, state: SegmentState, samples: int) -> Tensor:
        return state.faded[:, :, :samples] / state.weights[:samples]

    def state_from_tensors(
        self, tensors: Mapping[str, Tensor], device: torch.device
    ) -> SegmentState:
        """Rebuild a state from `SegmentState.tensors`; raises ParameterError if it does not fit."""
        names = ("codes", "scales", "faded", "weights")
        missing = [name for name in names if name not in tensors]
        if missing:
            raise ParameterError(
                f"codec state: tensor {missing[0]!r} is missing, found {sorted(tensors)}; "
                "was the state saved from another kind of codec?"
            )
        frames = read_count(tensors, "frames")
        codes, scales, faded, weights = (tensors[name].to(device) for name in names)
        batch, codebooks = codes.shape[:2]
        pending = frames % self._segment_frames
        whole = frames // self._segment_frames
        config = self._config
        kept = config.total_samples(whole * self._segment_frames) - config.samples_ready(frames)
        check_shape("codes", codes, (batch, codebooks, pending))
        check_shape("scales", scales, (batch, min(1, pending)))
        check_shape("faded", faded, (batch, config.audio_channels, max(0, kept)))
        check_shape("weights", weights, (max(0, kept),))
        return SegmentState(frames, codes, scales, faded, weights)


def _lengthened(signal: Tensor, length: int) -> Tensor:
    """A copy of `signal`, zeros appended to the last dimension up to `length`."""
    return torch.nn.functional.pad(signal, (0, length - signal.shape[-1])).clone()
