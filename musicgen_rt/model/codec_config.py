"""The configuration of an EnCodec-family codec, read from a transformers `EncodecConfig` JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from musicgen_rt.model.codec_plan import (
    LayerSpec,
    plan_decoder,
    plan_encoder,
    samples_ready_unsegmented,
)
from musicgen_rt.model.json_section import JsonSection

WEIGHT_NORM = "weight_norm"
TIME_GROUP_NORM = "time_group_norm"
NORM_TYPES = (WEIGHT_NORM, TIME_GROUP_NORM)
# "circular", the one other mode of torch, would need the end of the stream at its start.
PAD_MODES = ("reflect", "replicate", "constant", "zero")

# Bounds that no real codec meets, so that a damaged config cannot ask for a huge allocation.
_MAX_RATE_HZ = 384_000
_MAX_SIZE = 1 << 16
_MAX_LAYERS = 64
_MAX_SECONDS = 3600.0
_MAX_KBIT_A_SECOND = 10_000.0

# More frames than any decoder needs before all of its layers run steadily.
_STEADY_FRAMES = 1 << 16


@dataclass(frozen=True)
class CodecConfig:
    """Shape of a SEANet + residual-vector-quantizer codec (Défossez et al. 2022, EnCodec).

    Field names, meanings and defaults are those of transformers' `EncodecConfig`, because its
    JSON leaves out fields that hold the default. `sampling_rate` is in Hz, `chunk_length_s` in
    seconds, `target_bandwidths` in kbit/s, `overlap` a fraction of a segment. Zero
    `num_lstm_layers` drops the LSTM module, so later layer numbers move down by one, as in the
    encodec package.
    """

    target_bandwidths: tuple[float, ...] = (1.5, 3.0, 6.0, 12.0, 24.0)
    sampling_rate: int = 24_000
    audio_channels: int = 1
    normalize: bool = False
    chunk_length_s: float | None = None
    overlap: float | None = None
    hidden_size: int = 128
    num_filters: int = 32
    num_residual_layers: int = 1
    upsampling_ratios: tuple[int, ...] = (8, 5, 4, 2)
    norm_type: str = WEIGHT_NORM
    kernel_size: int = 7
    last_kernel_size: int = 7
    residual_kernel_size: int = 3
    dilation_growth_rate: int = 2
    use_causal_conv: bool = True
    pad_mode: str = "reflect"
    compress: int = 2
    num_lstm_layers: int = 2
    trim_right_ratio: float = 1.0
    codebook_size: int = 1024
    codebook_dim: int | None = None
    use_conv_shortcut: bool = True

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> CodecConfig:
        """Read a parsed transformers `EncodecConfig` JSON; keys of other purpose are ignored.

        Raises CheckpointError that names the field for a value that is out of range, of the
        wrong type, or that no EnCodec decoder can honour.
        """
        section = JsonSection.of("codec config (audio_encoder)", values)
        section.choice("model_type", "encodec", ("encodec",))
        read = {f.name: _READERS[f.name](section, f.name, f.default) for f in fields(cls)}
        config = cls(**read)
        _check_together(config, section)
        return config

    @property
    def sample_rate_hz(self) -> int:
        """Audio samples a second."""
        return self.sampling_rate

    @cached_property
    def hop_samples(self) -> int:
        """Samples that one code frame stands for."""
        return math.prod(self.upsampling_ratios)

    @property
    def frame_rate_hz(self) -> float:
        """Code frames a second."""
        return self.sampling_rate / self.hop_samples

    @property
    def bits_a_second_a_codebook(self) -> int:
        """Bits a second that one codebook takes, the frame rate rounded up."""
        return math.ceil(self.frame_rate_hz) * math.ceil(math.log2(self.codebook_size))

    @cached_property
    def num_codebooks(self) -> int:
        """Codebooks of the quantizer: what the largest target bandwidth pays for."""
        return int(1000 * self.target_bandwidths[-1] // self.bits_a_second_a_codebook)

    @property
    def is_segmented(self) -> bool:
        """Whether audio is coded in overlapping segments, each on its own."""
        return self.chunk_length_s is not None

    @cached_property
    def segment_samples(self) -> int | None:
        """Samples of one segment at the encoder, None for a codec without segments."""
        if self.chunk_length_s is None:
            return None
        return int(self.chunk_length_s * self.sampling_rate)

    @cached_property
    def segment_stride_samples(self) -> int | None:
        """Samples from the start of one segment to the next, None without segments."""
        if self.segment_samples is None or self.overlap is None:
            return None
        return max(1, int((1.0 - self.overlap) * self.segment_samples))

    @cached_property
    def segment_frames(self) -> int | None:
        """Code frames of one whole segment, None without segments."""
        if self.segment_samples is None:
            return None
        return math.ceil(self.segment_samples / self.hop_samples)

    @cached_property
    def encoder_plan(self) -> tuple[LayerSpec, ...]:
        """Layers of the encoder, first to last."""
        return plan_encoder(self)

    @cached_property
    def decoder_plan(self) -> tuple[LayerSpec, ...]:
        """Layers of the decoder, first to last."""
        return plan_decoder(self)

    def samples_ready(self, frames: int) -> int:
        """Samples a channel that are final, and emitted, once `frames` frames have been fed."""
        if self.segment_frames is not None and self.segment_stride_samples is not None:
            return frames // self.segment_frames * self.segment_stride_samples
        return samples_ready_unsegmented(self.decoder_plan, frames)

    def total_samples(self, frames: int) -> int:
        """Samples a channel of a whole stream of `frames` frames, the tail included."""
        if self.segment_frames is None or self.segment_stride_samples is None:
            return frames * self.hop_samples
        whole, rest = divmod(frames, self.segment_frames)
        stride = self.segment_stride_samples
        last_whole = (whole - 1) * stride + self.segment_frames * self.hop_samples if whole else 0
        return max(last_whole, whole * stride + rest * self.hop_samples if rest else 0)

    @cached_property
    def lookahead_samples(self) -> int:
        """Samples by which steady streaming output trails the frames fed: 2402 for MusicGen.

        A segmented codec trails by up to a whole segment.
        """
        if self.segment_frames is not None:
            return self.segment_frames * self.hop_samples
        return _STEADY_FRAMES * self.hop_samples - self.samples_ready(_STEADY_FRAMES)

    @property
    def lookahead_frames(self) -> int:
        """Frames that must follow a frame before all of its samples are final."""
        return math.ceil(self.lookahead_samples / self.hop_samples)


_Reader = Callable[[JsonSection, str, Any], Any]


def _integer(low: int, high: int) -> _Reader:
    return lambda section, key, default: section.integer(key, default, low, high)


def _number(low: float, high: float) -> _Reader:
    return lambda section, key, default: section.number(key, default, low, high)


def _boolean(section: JsonSection, key: str, default: Any) -> bool:
    return section.boolean(key, default)


def _choice(allowed: tuple[str, ...]) -> _Reader:
    return lambda section, key, default: section.choice(key, default, allowed)


def _optional(reader: _Reader) -> _Reader:
    def read(section: JsonSection, key: str, default: Any) -> Any:
        return None if section.values.get(key) is None else reader(section, key, default)

    return read


def _list(reader: _Reader, longest: int) -> _Reader:
    """Read a list whose every element passes `reader`."""

    def read(section: JsonSection, key: str, default: Any) -> tuple[Any, ...]:
        value = section.values.get(key, default)
        if not isinstance(value, (list, tuple)) or not 1 <= len(value) <= longest:
            raise section.fail(key, value, f"a list of 1 to {longest} numbers")
        items = JsonSection(section.name, {f"{key}[{i}]": item for i, item in enumerate(value)})
        return tuple(reader(items, name, None) for name in items.values)

    return read


_READERS: dict[str, _Reader] = {
    "target_bandwidths": _list(_number(0.0, _MAX_KBIT_A_SECOND), 64),
    "sampling_rate": _integer(1, _MAX_RATE_HZ),
    "audio_channels": _integer(1, 64),
    "normalize": _boolean,
    "chunk_length_s": _optional(_number(0.0, _MAX_SECONDS)),
    "overlap": _optional(_number(0.0, 0.99)),
    "hidden_size": _integer(1, _MAX_SIZE),
    "num_filters": _integer(1, _MAX_SIZE),
    "num_residual_layers": _integer(0, _MAX_LAYERS),
    "upsampling_ratios": _list(_integer(1, 1024), 8),
    "norm_type": _choice(NORM_TYPES),
    "kernel_size": _integer(1, 1024),
    "last_kernel_size": _integer(1, 1024),
    "residual_kernel_size": _integer(1, 1024),
    "dilation_growth_rate": _integer(1, 64),
    "use_causal_conv": _boolean,
    "pad_mode": _choice(PAD_MODES),
    "compress": _integer(1, _MAX_SIZE),
    "num_lstm_layers": _integer(0, _MAX_LAYERS),
    "trim_right_ratio": _number(0.0, 1.0),
    "codebook_size": _integer(2, _MAX_SIZE),
    "codebook_dim": _optional(_integer(1, _MAX_SIZE)),
    "use_conv_shortcut": _boolean,
}


def _check_together(config: CodecConfig, section: JsonSection) -> None:
    """Refuse values that are fine alone but impossible together."""
    if config.codebook_dim not in (None, config.hidden_size):
        raise section.fail(
            "codebook_dim", config.codebook_dim, f"{config.hidden_size}, as hidden_size"
        )
    if config.compress > config.num_filters:
        raise section.fail(
            "compress", config.compress, f"at most {config.num_filters}, as num_filters"
        )
    if not config.use_causal_conv and config.trim_right_ratio != 1:
        raise section.fail(
            "trim_right_ratio", config.trim_right_ratio, "1, as use_causal_conv is false"
        )
    if config.chunk_length_s is not None and config.overlap is None:
        raise section.fail("overlap", None, "a number in 0.0..0.99, as chunk_length_s is set")
    if config.segment_samples == 0:
        raise section.fail("chunk_length_s", config.chunk_length_s, "at least one sample")
    if config.num_codebooks < 1:
        raise section.fail(
            "target_bandwidths",
            list(config.target_bandwidths),
            f"a last entry of at least {config.bits_a_second_a_codebook / 1000:g} kbit/s, "
            "which one codebook takes",
        )
