"""The codec as the engine sees it: one stream of K codebooks in, C channels of samples out."""

from __future__ import annotations

import torch
from torch import Tensor

from musicgen_rt.errors import NonFiniteError, ParameterError, UnsupportedError
from musicgen_rt.model.codec import Codec, CodecState
from musicgen_rt.model.codec_stereo import deinterleave, interleave, join_channels

# A waveform's last frames are coded with the silence after it in view, and continue as noise.
# MusicGen's encoder reaches four frames past a sample.
ENCODER_LOOKAHEAD_FRAMES = 4


class FrameDecoder:
    """One stream of a codec, without a batch dimension: codes [K, T], samples [C, N].

    A mono codec gives two channels by running once a channel on interleaved codes (1L 1R 2L 2R
    ...); a codec whose own channels are `channels` runs as it is. Holds no state of a stream, so
    any number of streams may share it. Raises UnsupportedError for other channel counts and for
    codecs that normalise their input, whose codes are incomplete without their scales.
    """

    def __init__(self, codec: Codec, channels: int = 1) -> None:
        config = codec.config
        if config.normalize:
            raise UnsupportedError(
                "the codec normalises its input (normalize is true): its codes need scales, which "
                "a language model does not make; use Codec with Encoded.scales"
            )
        if config.audio_channels not in (1, channels) or channels < 1:
            raise UnsupportedError(
                f"channels is {channels} with a codec of {config.audio_channels} channels: "
                f"expected {config.audio_channels}, or any number with a mono codec"
            )
        self.codec = codec
        self.channels = channels
        self._rows = channels // config.audio_channels

    @property
    def num_codebooks(self) -> int:
        """Codebooks of a frame, those of all channels."""
        return self.codec.config.num_codebooks * self._rows

    @property
    def sample_rate_hz(self) -> int:
        """Samples a second."""
        return self.codec.config.sample_rate_hz

    @property
    def hop_samples(self) -> int:
        """Samples of a frame."""
        return self.codec.config.hop_samples

    @property
    def frame_rate_hz(self) -> float:
        """Frames a second."""
        return self.codec.config.frame_rate_hz

    @property
    def lookahead_frames(self) -> int:
        """Frames that must follow a frame before all of its samples are final."""
        return self.codec.config.lookahead_frames

    def samples_ready(self, frames: int) -> int:
        """Samples a channel that a stream has emitted once `frames` frames have been fed."""
        return self.codec.config.samples_ready(frames)

    def start(self) -> CodecState:
        """The state of a stream before its first frame. Raises UnsupportedError, see `Codec`."""
        return self.codec.start(self._rows)

    def decode_chunk(self, state: CodecState, codes: Tensor) -> tuple[Tensor, CodecState]:
        """Feed codes [K, n], n >= 0; return float32 samples [C, m] and the new state.

        Raises ParameterError for codes of another shape or outside the codebooks, and
        NonFiniteError with the first frame, counted from the stream's start, whose samples are
        not finite: `state` still stands before the chunk.
        """
        samples, after = self.codec.decode_chunk(state, self._to_rows(codes))
        samples = self._from_rows(samples)
        self._check_finite(samples, self.samples_ready(state.frames))
        return samples, after

    def finish(self, state: CodecState) -> Tensor:
        """The samples [C, m] that remain when the stream ends here; `state` stays usable.

        Raises NonFiniteError.
        """
        samples = self._from_rows(self.codec.finish(state))
        self._check_finite(samples, self.samples_ready(state.frames))
        return samples

    def decode(self, codes: Tensor) -> Tensor:
        """Decode codes [K, T] at once to float32 samples [C, N]; raises as `decode_chunk` does."""
        samples = self._from_rows(self.codec.decode(self._to_rows(codes)))
        self._check_finite(samples, 0)
        return samples

    def encode(self, samples: Tensor, drop_tail_frames: int = ENCODER_LOOKAHEAD_FRAMES) -> Tensor:
        """Encode samples [C, N] to codes [K, T], to be continued: T = ceil(N / hop) - dropped.

        Raises ParameterError for another number of channels, or if no frame would remain.
        """
        if samples.dim() != 2 or samples.shape[0] != self.channels:
            raise ParameterError(
                f"samples have shape {list(samples.shape)}, expected [{self.channels}, N]"
            )
        frames = -(-samples.shape[1] // self.hop_samples)
        if frames <= drop_tail_frames or drop_tail_frames < 0:
            raise ParameterError(
                f"{samples.shape[1]} samples are {frames} frames, of which the last "
                f"{drop_tail_frames} are dropped: expected more than "
                f"{drop_tail_frames * self.hop_samples} samples"
            )
        rows = samples.to(self.codec.device).view(self._rows, -1, samples.shape[1])
        codes = interleave(self.codec.encode(rows).codes, self._rows)[0]
        return codes[:, : codes.shape[1] - drop_tail_frames]

    def _to_rows(self, codes: Tensor) -> Tensor:
        """Codes [K, n] to the codec's batch [rows, K / rows, n]."""
        if codes.dim() != 2 or codes.shape[0] != self.num_codebooks or codes.is_floating_point():
            raise ParameterError(
                f"codes are {codes.dtype} of shape {list(codes.shape)}, expected integers of shape "
                f"[{self.num_codebooks}, n]"
            )
        codes = codes.to(device=self.codec.device, dtype=torch.long)
        if codes.numel():
            low, high = (int(bound) for bound in codes.aminmax())
            size = self.codec.config.codebook_size
            if low < 0 or high >= size:
                raise ParameterError(
                    f"codes run from {low} to {high}, expected 0 to {size - 1}: is a special "
                    "token of the delay pattern still among them?"
                )
        return deinterleave(codes[None], self._rows)

    def _from_rows(self, samples: Tensor) -> Tensor:
        """The codec's samples [rows, channels / rows, m] to [C, m]."""
        return join_channels(samples, self._rows)[0] if self._rows > 1 else samples[0]

    def _check_finite(self, samples: Tensor, first_sample: int) -> None:
        finite = torch.isfinite(samples).all(dim=0)
        if not bool(finite.all()):
            bad = int(torch.nonzero(~finite)[0])
            raise NonFiniteError("samples", (first_sample + bad) // self.hop_samples)
