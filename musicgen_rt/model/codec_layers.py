"""The layers of a SEANet as modules that work on a stream with explicit state.

Each layer has `push(signal, kept, fed, last)`: it takes the next rows of its input, a tensor
[T, B, C] that it owns and may overwrite, and returns the output rows that are now final together
with what it must keep for the next call. `kept` is never written to. `fed` counts the input rows
before this call; `last` says that the stream ends here. A whole signal is one push from a fresh
state with `last` set, so batch and stream share their code.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from musicgen_rt.model import codec_kernels as kernels
from musicgen_rt.model.codec_plan import ConvSpec, LayerSpec, LstmSpec, ResidualSpec, UpsampleSpec


def _parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.zeros(shape))


class _Norm(nn.Module):
    """Group norm with one group: it needs the whole signal, so it never runs in a stream."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = _parameter(channels)

    def forward(self, signal: Tensor) -> Tensor:
        return kernels.group_norm(signal, self.weight, self.bias)


def _norm(channels: int, is_normed: bool) -> nn.Module:
    return _Norm(channels) if is_normed else nn.Identity()


class Conv(nn.Module):
    """A padded convolution; `weight` is [taps, C_in, C_out]."""

    def __init__(self, spec: ConvSpec, pad_mode: str, is_normed: bool) -> None:
        super().__init__()
        self.spec = spec
        self.pad_mode = pad_mode
        self.weight = nn.Parameter(
            kernels.new_weight(
                spec.kernel,
                spec.in_channels,
                spec.out_channels,
                meets_few_rows=spec.at_frame_rate,
            )
        )
        self.bias = _parameter(spec.out_channels)
        self.norm = _norm(spec.out_channels, is_normed)

    def start(self, batch: int) -> Tensor:
        """What is kept before the first row: nothing, [0, B, C_in]."""
        return self.bias.new_zeros(0, batch, self.spec.in_channels)

    def kept_shape(self, batch: int, fed: int) -> tuple[int, ...]:
        """Shape of what is kept after `fed` rows."""
        return (self.spec.kept(fed), batch, self.spec.in_channels)

    def push(self, signal: Tensor, kept: Tensor, fed: int, last: bool) -> tuple[Tensor, Tensor]:
        window, kept = self.window(signal, kept, fed, last)
        if self.spec.activate:
            window = functional.elu_(window)
        return self.convolve(window), kept

    def window(self, signal: Tensor, kept: Tensor, fed: int, last: bool) -> tuple[Tensor, Tensor]:
        """The padded rows that the next outputs need, and the rows to keep."""
        spec = self.spec
        window = torch.cat((kept, signal)) if len(kept) else signal
        total = fed + len(signal)
        if not last and total < spec.rows_to_start:
            return window[:0], window.clone()
        left = spec.left if fed < spec.rows_to_start else 0
        # An encoder's strided convolution also fills its last window.
        right = spec.right + -total % spec.stride if last else 0
        window = kernels.pad(window, left, right, self.pad_mode)
        return window, window[max(0, len(window) - spec.reach) :].clone()

    def convolve(self, window: Tensor) -> Tensor:
        """Convolve rows that are activated and carry their padding: [rows - reach, B, C_out]."""
        spec = self.spec
        if len(window) <= spec.reach:
            return self.bias.new_zeros(0, window.shape[1], spec.out_channels)
        out = kernels.correlate(window, self.weight, self.bias, spec.stride, spec.dilation)
        normed: Tensor = self.norm(out)
        return normed


class Upsample(nn.Module):
    """ELU and a transposed convolution; `weight` is [2, C_in, stride * C_out]."""

    def __init__(self, spec: UpsampleSpec, is_normed: bool) -> None:
        super().__init__()
        self.spec = spec
        self.weight = nn.Parameter(
            kernels.new_weight(
                2,
                spec.in_channels,
                spec.stride * spec.out_channels,
                meets_few_rows=spec.at_frame_rate,
            )
        )
        self.bias = _parameter(spec.stride * spec.out_channels)
        self.norm = _norm(spec.out_channels, is_normed)

    def start(self, batch: int) -> Tensor:
        """What is kept before the first row: a row of silence, [1, B, C_in]."""
        return self.bias.new_zeros(1, batch, self.spec.in_channels)

    def kept_shape(self, batch: int, fed: int) -> tuple[int, ...]:
        """Shape of what is kept after `fed` rows."""
        return (1, batch, self.spec.in_channels)

    def push(self, signal: Tensor, kept: Tensor, fed: int, last: bool) -> tuple[Tensor, Tensor]:
        spec = self.spec
        if not len(signal) and not last:
            return self.bias.new_zeros(0, kept.shape[1], spec.out_channels), kept
        rows = (kept, functional.elu_(signal))
        window = torch.cat((*rows, torch.zeros_like(kept)) if last else rows)
        out = kernels.upsample(window, self.weight, self.bias, spec.stride)
        out = self.norm(out)
        first = spec.trim_left if fed == 0 else 0
        end = len(out) - (spec.trim_right if last else 0)
        return out[first:end], window[-1:].clone()


class Residual(nn.Module):
    """A residual block; the shortcut is delayed by as much as its convolution looks ahead."""

    def __init__(self, spec: ResidualSpec, pad_mode: str, is_normed: bool) -> None:
        super().__init__()
        self.spec = spec
        self.dilated = Conv(spec.dilated, pad_mode, is_normed)
        self.mix = Conv(spec.mix, pad_mode, is_normed)
        self.shortcut = Conv(spec.shortcut, pad_mode, is_normed) if spec.shortcut else None

    def start(self, batch: int) -> Tensor:
        """What is kept before the first row: nothing, [0, B, C]."""
        return self.dilated.start(batch)

    def kept_shape(self, batch: int, fed: int) -> tuple[int, ...]:
        """Shape of what is kept after `fed` rows."""
        return self.dilated.kept_shape(batch, fed)

    def push(self, signal: Tensor, kept: Tensor, fed: int, last: bool) -> tuple[Tensor, Tensor]:
        window, new_kept = self.dilated.window(signal, kept, fed, last)
        window = functional.elu(window) if window is signal else functional.elu_(window)
        out = self.mix.convolve(functional.elu_(self.dilated.convolve(window)))
        # Input rows whose output was not final yet are the last of those kept.
        delayed = fed - self.spec.ready(fed)
        late = kept[len(kept) - delayed :][: len(out)]
        fresh = signal[: len(out) - len(late)]
        if self.shortcut is not None:
            out += self.shortcut.convolve(torch.cat((late, fresh)))
        else:
            out[: len(late)] += late
            out[len(late) :] += fresh
        return out, new_kept


class Lstm(nn.Module):
    """LSTM layers with a skip connection; keeps (h, c) as [2, layers, B, C]."""

    def __init__(self, spec: LstmSpec) -> None:
        super().__init__()
        self.spec = spec
        # Not initialised at random: that would take numbers from the caller's generator.
        self.lstm = nn.LSTM(spec.channels, spec.channels, spec.num_layers, device="meta")
        # One by one: `to_empty` would import a library for symbolic algebra, most of a second.
        for name, parameter in list(self.lstm.named_parameters()):
            setattr(self.lstm, name, nn.Parameter(torch.zeros(parameter.shape)))

    def start(self, batch: int) -> Tensor:
        """What is kept before the first row: zeros."""
        return next(self.lstm.parameters()).new_zeros(self.kept_shape(batch, 0))

    def kept_shape(self, batch: int, fed: int) -> tuple[int, ...]:
        """Shape of what is kept after `fed` rows."""
        return (2, self.spec.num_layers, batch, self.spec.channels)

    def push(self, signal: Tensor, kept: Tensor, fed: int, last: bool) -> tuple[Tensor, Tensor]:
        if not len(signal):
            return signal, kept
        if signal.device.type == "cpu":
            out, kept = self._push_cpu(signal, kept)
        else:
            out, (hidden, cell) = self.lstm(signal, (kept[0], kept[1]))
            kept = torch.stack((hidden, cell))
        return out + signal, kept

    def _push_cpu(self, signal: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
        ends = []
        for layer in range(self.spec.num_layers):
            weight_in, weight_back, bias_in, bias_back = self.lstm.all_weights[layer]
            signal, hidden, cell = kernels.run_lstm_layer(
                signal,
                (kept[0, layer], kept[1, layer]),
                (weight_in, weight_back),
                bias_in + bias_back,
            )
            ends.append(torch.stack((hidden, cell)))
        return signal, torch.stack(ends, dim=1)


Layer = Conv | Residual | Lstm | Upsample


def build_layer(spec: LayerSpec, pad_mode: str, is_normed: bool) -> Layer:
    """The module that `spec` describes, with weights of zero."""
    if isinstance(spec, ConvSpec):
        return Conv(spec, pad_mode, is_normed)
    if isinstance(spec, ResidualSpec):
        return Residual(spec, pad_mode, is_normed)
    if isinstance(spec, UpsampleSpec):
        return Upsample(spec, is_normed)
    return Lstm(spec)
