"""Weight formats: what they cost in precision, and that every path computes the same product."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from musicgen_rt.errors import ParameterError
from musicgen_rt.model.linear import (
    INT4_GROUP,
    DenseLinear,
    Int4Linear,
    Int8Linear,
    WeightFormat,
    build_linear,
    quantise,
)
from tests.support.heap import needs_glibc


def _weight(out_features: int = 96, in_features: int = 128) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(out_features, in_features, generator=generator) * 0.05


def _input(rows: int, features: int = 128) -> torch.Tensor:
    generator = torch.Generator().manual_seed(rows)
    return torch.randn(rows, features, generator=generator).bfloat16()


@pytest.mark.parametrize(
    ("weight_format", "layer", "tolerance"),
    [
        (WeightFormat.BF16, DenseLinear, 0.01),
        (WeightFormat.INT8, Int8Linear, 0.015),
        (WeightFormat.INT4, Int4Linear, 0.12),
    ],
)
@pytest.mark.parametrize("rows", [1, 2, 5, 40])
def test_product_is_close_to_float64(
    weight_format: WeightFormat, layer: type, tolerance: float, rows: int
) -> None:
    weight, x = _weight(), _input(rows)
    linear = build_linear(quantise(weight, weight_format))
    assert isinstance(linear, layer)
    exact = x.double() @ weight.double().T
    error = (linear(x).double() - exact).norm() / exact.norm()
    assert error < tolerance


_PRODUCTS = """
import torch
from musicgen_rt.model.linear import WeightFormat, build_linear, quantise
from tests.support.heap import bytes_in_use

torch.set_num_threads(1)
shapes = ((320, 320), (1280, 320), (320, 1280), (960, 320))
layers = [build_linear(quantise(torch.randn(shape), WeightFormat.BF16)) for shape in shapes]
with torch.inference_mode():
    for rows in (64, *range(12, 160)):
        for layer, (_, width) in zip(layers, shapes):
            layer(torch.randn(rows, width).bfloat16())
        if rows == 64 and "before" not in globals():
            before = bytes_in_use()
print((bytes_in_use() - before) / 2**20)
"""


@needs_glibc
def test_products_of_any_numbers_of_rows_take_little_memory() -> None:
    """In a process of its own, in which nobody has multiplied before; and as it would be else."""
    kept = dict.fromkeys(("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"), "1024")
    clean = {name: value for name, value in os.environ.items() if name not in kept}
    held_mib, kept_mib = (
        float(
            subprocess.run(
                [sys.executable, "-c", _PRODUCTS],
                check=True,
                capture_output=True,
                text=True,
                env=environment,
            ).stdout
        )
        for environment in (clean, clean | kept)
    )
    # Where torch multiplies without oneDNN neither holds anything.
    assert held_mib < 40
    assert held_mib <= kept_mib


def test_int4_error_is_that_of_its_grid() -> None:
    """Each weight is off by at most half a level of its group, plus the rounding of the scales."""
    weight = _weight()
    linear = build_linear(quantise(weight, WeightFormat.INT4))
    assert isinstance(linear, Int4Linear)
    groups = weight.reshape(96, -1, INT4_GROUP)
    level = (groups.amax(-1) - groups.amin(-1)) / 15
    error = (linear.dense.float() - weight).reshape(96, -1, INT4_GROUP).abs().amax(-1)
    assert (error <= 0.5 * level + 0.02 * groups.abs().amax(-1)).all()


def test_int4_kernel_and_prefill_path_multiply_by_the_same_weights() -> None:
    linear = build_linear(quantise(_weight(), WeightFormat.INT4))
    x = _input(2)
    few, many = linear(x), linear(x.repeat(20, 1))[:2]
    assert torch.allclose(few.float(), many.float(), rtol=0.02, atol=0.01)


def test_int4_leaves_a_matrix_dense_that_it_cannot_group() -> None:
    linear = build_linear(quantise(_weight(in_features=100), WeightFormat.INT4))
    assert isinstance(linear, DenseLinear)
    assert linear.weight.dtype is torch.bfloat16


def test_shapes_of_more_dimensions_are_kept() -> None:
    linear = build_linear(quantise(_weight(), WeightFormat.INT4))
    assert linear(_input(6).reshape(2, 3, 128)).shape == (2, 3, 96)


def test_constant_and_zero_weights_survive() -> None:
    for weight in (torch.zeros(16, 64), torch.full((16, 64), 0.25)):
        for weight_format in (WeightFormat.INT8, WeightFormat.INT4):
            linear = build_linear(quantise(weight, weight_format))
            out = linear(torch.ones(1, 64).bfloat16()).float()
            assert torch.allclose(out, weight.sum(1)[None], rtol=0.01, atol=1e-3)


def test_unknown_format_names_the_choices() -> None:
    with pytest.raises(ParameterError, match=r"int3.*fp32, bf16, fp16, int8, int4"):
        WeightFormat.parse("int3")
