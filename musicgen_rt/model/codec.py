"""The codec: codes to audio, whole or as an exact stream, and audio to codes.

Own inference code for the EnCodec family (Défossez et al. 2022, "High Fidelity Neural Audio
Compression"): MusicGen's 32 kHz codec, and the 24 kHz and 48 kHz models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from musicgen_rt.errors import ParameterError, UnsupportedError
from musicgen_rt.model.codec_config import TIME_GROUP_NORM, CodecConfig
from musicgen_rt.model.codec_layers import Layer
from musicgen_rt.model.codec_quantizer import ResidualQuantizer
from musicgen_rt.model.codec_seanet import Seanet, StreamState
from musicgen_rt.model.codec_segments import SegmentState, SegmentStream
from musicgen_rt.model.codec_weights import (
    GetTensor,
    WeightReader,
    codebook_name,
    config_from_package,
    expected_shapes,
    load_layer,
    names_from_package,
)

__all__ = ["Codec", "CodecConfig", "CodecState", "Encoded", "expected_shapes"]

CodecState = StreamState | SegmentState


@dataclass(frozen=True)
class Encoded:
    """Codes [B, K, T], and a scale for each segment [B, S] if the codec normalises its input.

    A codec without segments has S = 1. Segments follow one another along T, all but the last whole.
    """

    codes: Tensor
    scales: Tensor | None = None


class Codec(nn.Module):
    """Encoder, residual vector quantizer and decoder, for inference.

    Streaming keeps no state here: `decode_chunk` takes a state and returns a new one, and a state
    can be resumed any number of times, so going back in time is to use an older state. What is
    emitted after F frames is `samples_ready(F)` samples, whatever the chunks; with the tail from
    `finish` the output equals `decode` up to rounding.
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Seanet(config, "encoder")
        self.decoder = Seanet(config, "decoder")
        self.quantizer = ResidualQuantizer(
            config.num_codebooks, config.codebook_size, config.hidden_size
        )
        self._segments = SegmentStream(config, self._decode_whole) if config.is_segmented else None

    @classmethod
    def from_tensors(
        cls,
        config: CodecConfig,
        get_tensor: GetTensor,
        decode_dtype: torch.dtype = torch.float32,
    ) -> Codec:
        """Load a codec; `get_tensor` maps the names of `expected_shapes` to tensors.

        `decode_dtype` is the decoder's alone: torch.bfloat16 is faster and less exact. Encoder and
        codebooks stay in float32, where codes are chosen. Raises CheckpointError for a tensor that
        is absent (KeyError or CheckpointError from `get_tensor`) or of another shape.
        """
        codec = cls(config)
        reader = WeightReader(config, get_tensor)
        layers: list[Layer] = [*codec.encoder.layers, *codec.decoder.layers]
        for layer in layers:
            load_layer(layer, reader)
        for level, codebook in enumerate(codec.quantizer.codebooks):
            codebook.copy_(reader.read(codebook_name(level)))
        codec.decoder.to(decode_dtype)
        return codec.eval().requires_grad_(False)

    @classmethod
    def from_encodec_package(
        cls, model: nn.Module, decode_dtype: torch.dtype = torch.float32
    ) -> Codec:
        """Load the weights of an `encodec.model.EncodecModel`.

        Raises CheckpointError for a model of a kind that this codec cannot run.
        """
        config = config_from_package(model)
        tensors = {names_from_package(name): t for name, t in model.state_dict().items()}
        return cls.from_tensors(config, tensors.__getitem__, decode_dtype)

    @property
    def device(self) -> torch.device:
        """Where the codec runs."""
        return self.quantizer.codebooks.device

    def samples_ready(self, frames: int) -> int:
        """Samples a channel that a stream has emitted once `frames` frames have been fed."""
        return self.config.samples_ready(frames)

    @torch.no_grad()
    def decode(self, codes: Tensor, scales: Tensor | None = None) -> Tensor:
        """Decode codes [B, K, T] at once to float32 samples [B, C, T * hop].

        K may be fewer than all codebooks. `scales` [B, S] are those of `Encoded`; without them a
        codec that normalises decodes at unit scale. A segmented codec returns fewer samples,
        `config.total_samples(T)`, as its segments overlap. Raises ParameterError.
        """
        if self._segments is not None:
            samples, state = self.decode_chunk(self.start(codes.shape[0]), codes, scales)
            return torch.cat((samples, self.finish(state)), dim=2)
        self._check_codes(codes, codes.shape[0])
        scales = self._checked_scales(scales, codes.shape[0], 1)
        return self._decode_whole(codes) * scales[:, :, None]

    def start(self, batch: int = 1) -> CodecState:
        """The state of a stream of `batch` rows before its first frame.

        Raises UnsupportedError for a codec that normalises over all time and has no segments.
        """
        if self._segments is not None:
            return self._segments.start(batch, self.device)
        if self.config.norm_type == TIME_GROUP_NORM or self.config.normalize:
            raise UnsupportedError(
                "this codec normalises over the whole signal and has no segments "
                "(chunk_length_s is null), so it cannot be streamed: use decode"
            )
        return self.decoder.start(batch)

    @torch.no_grad()
    def decode_chunk(
        self, state: CodecState, codes: Tensor, scales: Tensor | None = None
    ) -> tuple[Tensor, CodecState]:
        """Feed codes [B, K, n], n >= 0; return float32 samples [B, C, m] and the new state.

        `scales` [B, S] hold one scale for each segment that begins in this chunk. Raises
        ParameterError for codes or scales of another shape, or a state of another codec.
        """
        if isinstance(state, SegmentState) and self._segments is not None:
            self._check_codes(codes, state.codes.shape[0])
            begun = self._segments.starts_within(state.frames, codes.shape[2])
            scales = self._checked_scales(scales, codes.shape[0], begun)
            return self._segments.push(state, codes, scales)
        if isinstance(state, StreamState) and self._segments is None:
            self._check_codes(codes, state.kept[0].shape[1])
            self._checked_scales(scales, codes.shape[0], 0)
            rows, state = self.decoder.push(self._embed(codes), state)
            return _to_samples(rows), state
        raise _foreign(state)

    @torch.no_grad()
    def finish(self, state: CodecState) -> Tensor:
        """The samples [B, C, m] that remain when the stream ends here; `state` stays usable.

        Raises ParameterError for a state of another codec.
        """
        if isinstance(state, SegmentState) and self._segments is not None:
            return self._segments.finish(state)
        if isinstance(state, StreamState) and self._segments is None:
            if not state.frames:
                return self._silence(state.kept[0].shape[1])
            return _to_samples(self.decoder.finish(state))
        raise _foreign(state)

    def state_from_tensors(self, tensors: Mapping[str, Tensor]) -> CodecState:
        """Rebuild a state from its `tensors()`. Raises ParameterError if it is not this codec's."""
        if self._segments is not None:
            return self._segments.state_from_tensors(tensors, self.device)
        return self.decoder.state_from_tensors(tensors)

    @torch.no_grad()
    def encode(self, samples: Tensor, num_codebooks: int | None = None) -> Encoded:
        """Encode samples [B, C, N], N > 0, to codes [B, num_codebooks, ceil(N / hop)].

        All codebooks by default. A segmented codec encodes `segment_samples` every
        `segment_stride_samples`, as many segments as it takes to cover N. Raises ParameterError.
        """
        config = self.config
        if samples.dim() != 3 or samples.shape[1] != config.audio_channels or not samples.shape[2]:
            raise ParameterError(
                f"samples have shape {list(samples.shape)}, expected [B, {config.audio_channels}, "
                "N] with N > 0: give the codec's own number of channels"
            )
        count = config.num_codebooks if num_codebooks is None else num_codebooks
        size = config.segment_samples or samples.shape[2]
        stride = config.segment_stride_samples or size
        begins = range(0, max(1, samples.shape[2] - size + stride), stride)
        parts = [self._encode_whole(samples[:, :, b : b + size], count) for b in begins]
        codes = torch.cat([codes for codes, _ in parts], dim=2)
        scales = torch.cat([scale for _, scale in parts], dim=1) if config.normalize else None
        return Encoded(codes, scales)

    def _encode_whole(self, samples: Tensor, num_codebooks: int) -> tuple[Tensor, Tensor]:
        """Codes [B, K, T] and scale [B, 1] of one segment [B, C, N]."""
        scale = torch.ones(samples.shape[0], 1, device=samples.device)
        if self.config.normalize:
            loudness = samples.mean(dim=1).square().mean(dim=1, keepdim=True).sqrt()
            scale = loudness + 1e-8
        rows = (samples / scale[:, :, None]).permute(2, 0, 1).contiguous()
        return self.quantizer.encode(
            self.encoder(rows.to(self.encoder.dtype)), num_codebooks
        ), scale

    def _embed(self, codes: Tensor) -> Tensor:
        return self.quantizer.decode(codes).to(self.decoder.dtype)

    def _decode_whole(self, codes: Tensor) -> Tensor:
        """Decode codes [B, K, T] of one segment to samples [B, C, T * hop], without scale."""
        if not codes.shape[2]:
            return self._silence(codes.shape[0])
        return _to_samples(self.decoder(self._embed(codes)))

    def _silence(self, batch: int) -> Tensor:
        """No samples at all: [B, C, 0]."""
        return torch.zeros(batch, self.config.audio_channels, 0, device=self.device)

    def _check_codes(self, codes: Tensor, batch: int) -> None:
        if codes.dim() != 3 or codes.shape[0] != batch or codes.is_floating_point():
            raise ParameterError(
                f"codes are {codes.dtype} of shape {list(codes.shape)}, expected integers of shape "
                f"[{batch}, K, T]"
            )
        self.quantizer.check_count(codes.shape[1])

    def _checked_scales(self, scales: Tensor | None, batch: int, segments: int) -> Tensor:
        """The scales [B, segments], ones if there are none."""
        if scales is None:
            return torch.ones(batch, segments, device=self.device)
        if not self.config.normalize or tuple(scales.shape) != (batch, segments):
            expected = f"[{batch}, {segments}]" if self.config.normalize else "none"
            raise ParameterError(
                f"scales have shape {list(scales.shape)}, expected {expected}: one for each "
                "segment that begins in the codes, and only for a codec that normalises"
            )
        return scales


def _foreign(state: CodecState) -> ParameterError:
    return ParameterError(
        f"the state is a {type(state).__name__}, which this codec does not make: "
        "use one from its own start or state_from_tensors"
    )


def _to_samples(rows: Tensor) -> Tensor:
    """Rows [T, B, C] to float32 samples [B, C, T]."""
    return rows.permute(1, 2, 0).to(torch.float32).contiguous()
