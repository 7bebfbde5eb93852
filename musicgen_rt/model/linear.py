"""Linear layers by weight format: dense, or weight-only int8 and int4 for CPUs.

A step of the language model reads every weight once for a handful of rows, so on a CPU its time is
the bytes of the weights: int8 halves those of bfloat16, int4 quarters them. The arithmetic stays
in bfloat16; only the stored weights are coarser.
"""

from __future__ import annotations

import os
from enum import StrEnum

import torch
from torch import Tensor, nn

from musicgen_rt.errors import ParameterError

# On a CPU a product in half precision is prepared for each number of rows by itself. oneDNN and
# torch each keep up to 1024 of these, half a megabyte a piece, and the end of a window's past may
# have any length: hundreds of megabytes for nothing. Both look here before their first product.
for _name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
    os.environ.setdefault(_name, "32")

INT4_GROUP = 64
_INT4_LEVELS = 15
_INT4_ZERO = 8  # the kernel computes (q - 8) * scale + zero
_INT4_MIN_OUT = 16
# The int4 and int8 kernels are made for a handful of rows; from here on dense products are faster.
_MANY_ROWS = 12


class WeightFormat(StrEnum):
    """How the large matrices of the language model are stored."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"
    INT8 = "int8"
    INT4 = "int4"

    @property
    def compute_dtype(self) -> torch.dtype:
        if self is WeightFormat.FP32:
            return torch.float32
        return torch.float16 if self is WeightFormat.FP16 else torch.bfloat16

    @property
    def is_quantised(self) -> bool:
        return self in (WeightFormat.INT8, WeightFormat.INT4)

    @classmethod
    def parse(cls, name: str) -> WeightFormat:
        """Raises ParameterError naming the choices."""
        try:
            return cls(name)
        except ValueError:
            choices = ", ".join(member.value for member in cls)
            raise ParameterError(f"weight format {name!r}: expected one of {choices}") from None


class DenseLinear(nn.Module):
    """y = x Wᵀ with the weight [out, in] in the compute dtype. No MusicGen decoder has biases."""

    weight: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight.contiguous())

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight)


class Int8Linear(nn.Module):
    """Weight-only int8, symmetric, one scale for each output channel."""

    weight: Tensor
    scales: Tensor

    def __init__(self, weight: Tensor, scales: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("scales", scales)

    @staticmethod
    def quantise(weight: Tensor) -> dict[str, Tensor]:
        """Weight [out, in] -> {"weight": int8 [out, in], "scales": bfloat16 [out]}."""
        weight = weight.float()
        scales = (weight.abs().amax(dim=1) / 127).clamp(min=1e-8).bfloat16()
        levels = (weight / scales.float()[:, None]).round().clamp(-127, 127)
        return {"weight": levels.to(torch.int8), "scales": scales}

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        if flat.shape[0] < _MANY_ROWS:
            out = torch.ops.aten._weight_int8pack_mm(flat, self.weight, self.scales)
        else:
            out = nn.functional.linear(flat, self.weight.to(flat.dtype)) * self.scales
        return out.reshape(*x.shape[:-1], -1)


class Int4Linear(nn.Module):
    """Weight-only int4 in groups of 64 inputs, each group with its own scale and zero.

    The packed layout depends on the processor, so it is made at load from `levels` and never saved.
    Prefill multiplies many rows at once, where the int4 kernel is several times slower than a dense
    one: the same weights are therefore also kept in bfloat16.
    """

    ZERO_LEVEL = _INT4_ZERO

    levels: Tensor
    packed: Tensor
    scales_and_zeros: Tensor
    dense: Tensor

    def __init__(self, levels: Tensor, scales_and_zeros: Tensor) -> None:
        super().__init__()
        self.register_buffer("levels", levels)
        unpacked = self.unpacked_levels()
        pack = torch.ops.aten._convert_weight_to_int4pack_for_cpu
        self.register_buffer("packed", pack(unpacked.to(torch.int32), 1))
        self.register_buffer("scales_and_zeros", scales_and_zeros)
        self.register_buffer("dense", _dequantised(unpacked, scales_and_zeros))

    def unpacked_levels(self) -> Tensor:
        """The weight's levels 0-15: uint8 [out, in]."""
        return _unpack_nibbles(self.levels)

    @staticmethod
    def fits(weight: Tensor) -> bool:
        out_features, in_features = weight.shape
        return in_features % INT4_GROUP == 0 and out_features % _INT4_MIN_OUT == 0

    @staticmethod
    def quantise(weight: Tensor) -> dict[str, Tensor]:
        """Weight [out, in] -> "levels" uint8 [out, in / 2], "scales_and_zeros" [in / 64, out, 2].

        Two 4-bit levels share a byte, the even input in the low nibble.
        """
        out_features, in_features = weight.shape
        groups = weight.float().reshape(out_features, in_features // INT4_GROUP, INT4_GROUP)
        low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
        # Rounded to bfloat16 before use: the levels must fit the scales that the kernel will see.
        scale = ((high - low) / _INT4_LEVELS).clamp(min=1e-8).bfloat16().float()
        zero = (low + scale * _INT4_ZERO).bfloat16().float()
        levels = ((groups - zero) / scale).round() + _INT4_ZERO
        levels = levels.clamp(0, _INT4_LEVELS).to(torch.uint8).reshape(out_features, in_features)
        pairs = torch.cat([scale, zero], dim=-1).transpose(0, 1).contiguous().bfloat16()
        return {"levels": levels[:, 0::2] | (levels[:, 1::2] << 4), "scales_and_zeros": pairs}

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1]).contiguous()
        if flat.shape[0] < _MANY_ROWS:
            out = torch.ops.aten._weight_int4pack_mm_for_cpu(
                flat, self.packed, INT4_GROUP, self.scales_and_zeros
            )
        else:
            out = nn.functional.linear(flat, self.dense)
        return out.reshape(*x.shape[:-1], -1)


def _unpack_nibbles(levels: Tensor) -> Tensor:
    """uint8 [out, in / 2] -> uint8 [out, in]."""
    return torch.stack([levels & 0x0F, levels >> 4], dim=-1).reshape(levels.shape[0], -1)


def _dequantised(levels: Tensor, scales_and_zeros: Tensor) -> Tensor:
    """levels [out, in] and pairs [in / 64, out, 2] -> bfloat16 [out, in]."""
    scale, zero = scales_and_zeros.float().transpose(0, 1)[..., None].unbind(2)
    groups = levels.float().reshape(levels.shape[0], -1, INT4_GROUP)
    weight = (groups - _INT4_ZERO) * scale + zero
    return weight.reshape(levels.shape).bfloat16()


def quantise(weight: Tensor, weight_format: WeightFormat) -> dict[str, Tensor]:
    """The tensors that store `weight` [out, in] in this format; `build_linear` takes them.

    A matrix whose shape int4 cannot group stays dense in bfloat16.
    """
    if weight_format is WeightFormat.INT8:
        return Int8Linear.quantise(weight)
    if weight_format is WeightFormat.INT4 and Int4Linear.fits(weight):
        return Int4Linear.quantise(weight)
    return {"weight": weight.to(weight_format.compute_dtype)}


def build_linear(tensors: dict[str, Tensor]) -> nn.Module:
    """The layer for tensors made by `quantise`."""
    if "levels" in tensors:
        return Int4Linear(**tensors)
    if "scales" in tensors:
        return Int8Linear(**tensors)
    return DenseLinear(**tensors)
