"""Convolutions as matrix products over rows of time.

Signals are [T, B, C]: a window of rows is then a view whose product with a weight matrix needs no
copy, a transposed convolution writes its output rows in order, and an LSTM takes the same layout.
On CPUs this runs about twice as fast as torch's convolutions, which reorder [B, C, T] signals.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

# Up to this many inputs an output row, a gathered window costs less than a product per tap.
_GATHER_INPUTS = 64
# Fewer rows than this meet large weights: memory sets the time of the product, not arithmetic.
_FEW_ROWS = 32
_BLOCK_OUTPUTS = 32


def new_weight(taps: int, in_channels: int, out_channels: int, *, meets_few_rows: bool) -> Tensor:
    """Zeros of shape [taps, C_in, C_out], in the order in memory that `correlate` runs best on.

    Weights that a stream's short chunks give few rows are best read output by output.
    """
    if meets_few_rows:
        return torch.zeros(out_channels, taps, in_channels).permute(1, 2, 0)
    return torch.zeros(taps, in_channels, out_channels)


def multiply_few(rows: Tensor, weight: Tensor) -> Tensor:
    """`rows` [M, K] times the transpose of `weight` [N, K], fast where M is small: [M, N].

    On a CPU, general products first copy the weights into another order, which takes longer than
    the product itself; those of small blocks do not, nor do bfloat16 ones with weights on the left.
    """
    if rows.device.type != "cpu" or len(rows) > _FEW_ROWS:
        return rows @ weight.t()
    if rows.dtype != torch.float32 or len(weight) % _BLOCK_OUTPUTS:
        return (weight @ rows.t()).t()
    blocks = weight.unflatten(0, (-1, _BLOCK_OUTPUTS))
    products = torch.bmm(rows.expand(len(blocks), -1, -1), blocks.transpose(1, 2))
    return products.transpose(0, 1).flatten(1)


def correlate(
    signal: Tensor, weight: Tensor, bias: Tensor, stride: int = 1, dilation: int = 1
) -> Tensor:
    """Slide `weight` [taps, C_in, C_out] over `signal` [T, B, C_in], without padding.

    Returns [N, B, C_out] where N = (T - (taps - 1) * dilation - 1) // stride + 1.
    """
    taps, in_channels, out_channels = weight.shape
    length, batch, _ = signal.shape
    rows = (length - (taps - 1) * dilation - 1) // stride + 1
    tap_rows = [_rows(signal, tap * dilation, rows, stride) for tap in range(taps)]
    if rows * batch <= _FEW_ROWS and weight.stride(2) != 1:
        windows = torch.cat(tap_rows, dim=1)
        flat = multiply_few(windows, weight.permute(2, 0, 1).flatten(1)) + bias
        flat = flat.contiguous()
    elif taps * in_channels <= _GATHER_INPUTS:
        flat = torch.addmm(bias, torch.cat(tap_rows, dim=1), weight.flatten(0, 1))
    elif stride == 1 and taps * out_channels <= in_channels:
        return _correlate_narrow(signal, weight, bias, rows, dilation)
    else:
        flat = torch.addmm(bias, tap_rows[0], weight[0])
        for tap in range(1, taps):
            flat.addmm_(tap_rows[tap], weight[tap])
    return flat.view(rows, batch, out_channels)


def _rows(signal: Tensor, start: int, rows: int, stride: int) -> Tensor:
    """Every `stride`-th row from `start`, as a matrix [rows * B, C]."""
    return signal[start : start + (rows - 1) * stride + 1 : stride].reshape(-1, signal.shape[2])


def _correlate_narrow(
    signal: Tensor, weight: Tensor, bias: Tensor, rows: int, dilation: int
) -> Tensor:
    """Few output channels: one product for all taps, whose results are then summed aslant."""
    taps, _, out_channels = weight.shape
    products = signal @ weight.transpose(0, 1).flatten(1)  # [T, B, taps * C_out]
    products = products.unflatten(2, (taps, out_channels))
    result = products[:rows, :, 0] + bias
    for tap in range(1, taps):
        result += products[tap * dilation : tap * dilation + rows, :, tap]
    return result


def upsample(signal: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
    """Transposed convolution whose kernel is twice its stride.

    `signal` [1 + T, B, C_in] begins with the row before the first new one. `weight`
    [2, C_in, stride * C_out] holds what a row contributes one row later, then what it contributes
    at its own time. Returns [T * stride, B, C_out].
    """
    blocks = correlate(signal, weight, bias)
    rows, batch, _ = blocks.shape
    if batch == 1:
        return blocks.view(rows * stride, 1, -1)
    blocks = blocks.unflatten(2, (stride, -1)).transpose(1, 2)
    return blocks.reshape(rows * stride, batch, -1)


def pad(signal: Tensor, left: int, right: int, mode: str) -> Tensor:
    """Pad `signal` [T, B, C] in time; `mode` as in `CodecConfig.pad_mode`.

    A signal too short to be mirrored is lengthened with zeros first, as EnCodec does.
    """
    if not left and not right:
        return signal
    if mode == "replicate":
        first, last = signal[:1].expand(left, -1, -1), signal[-1:].expand(right, -1, -1)
        return torch.cat((first, signal, last))
    if mode != "reflect":
        return functional.pad(signal, (0, 0, 0, 0, left, right))
    missing = max(0, max(left, right) + 1 - len(signal))
    if missing:
        signal = functional.pad(signal, (0, 0, 0, 0, 0, missing))
    length = len(signal)
    before, after = signal[1 : left + 1].flip(0), signal[length - 1 - right : length - 1].flip(0)
    return torch.cat((before, signal, after))[: left + length + right - missing]


def group_norm(signal: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Normalise each batch row of `signal` [T, B, C] over time and channels (one group)."""
    variance, mean = torch.var_mean(signal, dim=(0, 2), keepdim=True, correction=0)
    return (signal - mean) * torch.rsqrt(variance + 1e-5) * weight + bias


def run_lstm_layer(
    inputs: Tensor, state: tuple[Tensor, Tensor], weights: tuple[Tensor, Tensor], bias: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Run one LSTM layer on the CPU: inputs [T, B, H], state (h, c) of [B, H] each.

    `weights` are torch's [4H, H] matrices of the input and of the recurrence, gates i, f, g, o.
    Returns outputs [T, B, H], h, c. torch's own CPU kernel repacks all weights at each call,
    which a stream of short chunks pays for every time.
    """
    length, batch, width = inputs.shape
    gates_in = multiply_few(inputs.reshape(-1, width), weights[0]) + bias
    gates_in = gates_in.reshape(length, batch, 4 * width)
    hidden, cell = state
    outputs = []
    for row in gates_in.unbind(0):
        gates = _recur(row, hidden, weights[1])
        enter, forget, candidate, leave = gates.chunk(4, dim=1)
        cell = torch.sigmoid(forget) * cell + torch.sigmoid(enter) * torch.tanh(candidate)
        hidden = torch.sigmoid(leave) * torch.tanh(cell)
        outputs.append(hidden)
    return torch.stack(outputs), hidden, cell


def _recur(inputs: Tensor, hidden: Tensor, weight: Tensor) -> Tensor:
    """Gates [B, 4H] of one time step."""
    if len(hidden) == 1:
        # A matrix times a vector has a kernel of its own, which in bfloat16 is the faster one.
        return torch.addmv(inputs[0], weight, hidden[0])[None]
    return torch.addmm(inputs, hidden, weight.t())
