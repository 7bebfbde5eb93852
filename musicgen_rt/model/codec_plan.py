"""The layers of a SEANet encoder and decoder as plain values: names, sizes, padding, timing.

One table drives everything that must agree: the modules, the names and shapes of the weights,
and the count of samples that a stream has emitted. Torch-free.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from musicgen_rt.model.codec_config import CodecConfig


@dataclass(frozen=True)
class ConvSpec:
    """A convolution, with an ELU in front of it where `activate` is set.

    `left` and `right` are the rows of padding at the two ends of a stream. `reflects` says that
    the padding at the start mirrors what follows, so that it is known only some rows later.
    `at_frame_rate` says that one input row stands for a code frame.
    """

    name: str
    in_channels: int
    out_channels: int
    kernel: int
    left: int
    right: int
    stride: int = 1
    dilation: int = 1
    activate: bool = False
    reflects: bool = False
    at_frame_rate: bool = False

    @property
    def reach(self) -> int:
        """Rows before the newest one that an output row looks back to."""
        return (self.kernel - 1) * self.dilation

    @property
    def rows_to_start(self) -> int:
        """Rows that must have been fed before the first output row can be computed."""
        return self.left + 1 if self.reflects else 1

    def ready(self, fed: int) -> int:
        """Output rows that are final after `fed` input rows (stride 1 only)."""
        return max(0, fed - self.right) if fed >= self.rows_to_start else 0

    def kept(self, fed: int) -> int:
        """Input rows that a stream keeps after `fed` rows (stride 1 only)."""
        return min(self.reach, self.left + fed) if fed >= self.rows_to_start else fed


@dataclass(frozen=True)
class ResidualSpec:
    """A residual block: ELU, dilated convolution, ELU, 1 x 1 convolution, plus the shortcut."""

    name: str
    dilated: ConvSpec
    mix: ConvSpec
    shortcut: ConvSpec | None

    def ready(self, fed: int) -> int:
        """Output rows that are final after `fed` input rows."""
        return self.dilated.ready(fed)


@dataclass(frozen=True)
class LstmSpec:
    """A stack of unidirectional LSTM layers with a skip connection around all of them."""

    name: str
    channels: int
    num_layers: int

    def ready(self, fed: int) -> int:
        """Output rows that are final after `fed` input rows."""
        return fed


@dataclass(frozen=True)
class UpsampleSpec:
    """ELU and a transposed convolution of stride `stride` and twice as wide a kernel.

    `trim_left` and `trim_right` rows are cut from the two ends of a stream's output.
    """

    name: str
    in_channels: int
    out_channels: int
    stride: int
    trim_left: int
    trim_right: int
    at_frame_rate: bool

    @property
    def kernel(self) -> int:
        """Output rows that one input row reaches."""
        return 2 * self.stride

    def ready(self, fed: int) -> int:
        """Output rows that are final after `fed` input rows."""
        return fed * self.stride - self.trim_left if fed else 0


LayerSpec = ConvSpec | ResidualSpec | LstmSpec | UpsampleSpec


def samples_ready_unsegmented(plan: Sequence[LayerSpec], frames: int) -> int:
    """Samples that the layers of `plan` have emitted after `frames` frames."""
    for spec in plan:
        frames = spec.ready(frames)
    return frames


def _conv(
    config: CodecConfig,
    name: str,
    in_channels: int,
    out_channels: int,
    kernel: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    activate: bool = False,
    at_frame_rate: bool = False,
) -> ConvSpec:
    """A convolution padded as the config says: all on the left, or on both sides."""
    padding = (kernel - 1) * dilation + 1 - stride
    right = 0 if config.use_causal_conv else padding // 2
    return ConvSpec(
        name=name,
        in_channels=in_channels,
        out_channels=out_channels,
        kernel=kernel,
        left=padding - right,
        right=right,
        stride=stride,
        dilation=dilation,
        activate=activate,
        reflects=config.pad_mode == "reflect",
        at_frame_rate=at_frame_rate,
    )


def _residual(config: CodecConfig, name: str, channels: int, depth: int) -> ResidualSpec:
    hidden = channels // config.compress
    return ResidualSpec(
        name=name,
        dilated=_conv(
            config,
            f"{name}.block.1",
            channels,
            hidden,
            config.residual_kernel_size,
            dilation=config.dilation_growth_rate**depth,
            activate=True,
        ),
        mix=_conv(config, f"{name}.block.3", hidden, channels, 1, activate=True),
        shortcut=_conv(config, f"{name}.shortcut", channels, channels, 1)
        if config.use_conv_shortcut
        else None,
    )


def _upsample(
    config: CodecConfig, name: str, channels: int, ratio: int, *, at_frame_rate: bool
) -> UpsampleSpec:
    # Twice as wide as the stride: `ratio` rows too many come out over a whole stream.
    if config.use_causal_conv:
        right = math.ceil(ratio * config.trim_right_ratio)
    else:
        right = ratio // 2
    return UpsampleSpec(name, channels, channels // 2, ratio, ratio - right, right, at_frame_rate)


class _Names:
    """Counts the modules of a stack: activations have a number of their own but no weights."""

    def __init__(self, part: str) -> None:
        self._part = part
        self._count = 0

    def skip(self) -> None:
        self._count += 1

    def next(self) -> str:
        self._count += 1
        return f"{self._part}.layers.{self._count - 1}"


def plan_decoder(config: CodecConfig) -> tuple[LayerSpec, ...]:
    """Layers of the decoder, first to last, named as in a transformers checkpoint."""
    names = _Names("decoder")
    channels = config.num_filters * 2 ** len(config.upsampling_ratios)
    plan: list[LayerSpec] = [
        _conv(
            config,
            names.next(),
            config.hidden_size,
            channels,
            config.kernel_size,
            at_frame_rate=True,
        )
    ]
    if config.num_lstm_layers:
        plan.append(LstmSpec(names.next(), channels, config.num_lstm_layers))
    for stage, ratio in enumerate(config.upsampling_ratios):
        names.skip()
        plan.append(_upsample(config, names.next(), channels, ratio, at_frame_rate=stage == 0))
        channels //= 2
        for depth in range(config.num_residual_layers):
            plan.append(_residual(config, names.next(), channels, depth))
    names.skip()
    plan.append(
        _conv(
            config,
            names.next(),
            channels,
            config.audio_channels,
            config.last_kernel_size,
            activate=True,
        )
    )
    return tuple(plan)


def plan_encoder(config: CodecConfig) -> tuple[LayerSpec, ...]:
    """Layers of the encoder, first to last, named as in a transformers checkpoint."""
    names = _Names("encoder")
    channels = config.num_filters
    plan: list[LayerSpec] = [
        _conv(config, names.next(), config.audio_channels, channels, config.kernel_size)
    ]
    for ratio in reversed(config.upsampling_ratios):
        for depth in range(config.num_residual_layers):
            plan.append(_residual(config, names.next(), channels, depth))
        names.skip()
        plan.append(
            _conv(
                config, names.next(), channels, 2 * channels, 2 * ratio, stride=ratio, activate=True
            )
        )
        channels *= 2
    if config.num_lstm_layers:
        plan.append(LstmSpec(names.next(), channels, config.num_lstm_layers))
    names.skip()
    plan.append(
        _conv(
            config,
            names.next(),
            channels,
            config.hidden_size,
            config.last_kernel_size,
            activate=True,
        )
    )
    return tuple(plan)
