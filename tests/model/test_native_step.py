"""The compiled step computes what torch's operators do, in every weight format."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest
import torch

from musicgen_rt.errors import MusicgenRTError
from musicgen_rt.model import native_build
from musicgen_rt.model.checkpoint import Checkpoint
from musicgen_rt.model.kv_cache import CrossCache, KVCache, TextKV
from musicgen_rt.model.linear import Int4Linear, WeightFormat
from musicgen_rt.model.lm import LM
from musicgen_rt.model.lm_weights import load_lm
from musicgen_rt.model.native_step import NativeStep, native_step
from tests.programs import requires_program

POSITIONS = 300
# Between operators torch rounds to bfloat16, to 3 significant digits; int4's inputs to 7 bits.
TOLERANCES = {
    WeightFormat.FP32: 1e-5,
    WeightFormat.BF16: 0.03,
    WeightFormat.INT8: 0.03,
    WeightFormat.INT4: 0.06,
}


@pytest.fixture(autouse=True)
def _compiler() -> None:
    requires_program("g++")


def load(folder: Path, weight_format: WeightFormat = WeightFormat.FP32) -> LM:
    with Checkpoint.open(folder) as checkpoint:
        return load_lm(checkpoint, weight_format, torch.device("cpu"))


def fast(lm: LM) -> NativeStep:
    step = native_step(lm)
    assert isinstance(step, NativeStep)
    return step


def caches(lm: LM, rows: int = 2) -> tuple[KVCache, CrossCache | None]:
    """Full of noise; every row but the first has a prompt, each of another length."""
    generator = torch.Generator().manual_seed(0)
    config = lm.config
    cache = KVCache.allocate(config, rows, POSITIONS, lm.dtype, lm.device)
    for tensor in cache.keys + cache.values:
        tensor.copy_(torch.randn(tensor.shape, generator=generator))
    if not lm.conditioning.cross_weights:
        return cache, None
    cross = CrossCache.allocate(config, rows, 16, lm.dtype, lm.device)
    for row in range(1, rows):
        shape = (config.num_layers, config.num_heads, 5 + row, config.head_dim)
        states = [torch.randn(shape, generator=generator).to(lm.dtype) for _ in range(2)]
        cross.set_row(row, TextKV(*states))
    return cache, cross


@pytest.mark.parametrize("weight_format", TOLERANCES)
def test_logits_and_caches_are_those_of_the_operators(
    tiny_text: Path, weight_format: WeightFormat
) -> None:
    lm = load(tiny_text, weight_format)
    step, tokens = fast(lm), torch.arange(lm.config.num_codebooks)
    bias = torch.randn(2, lm.config.d_model, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        for position in (0, 3, 70, 130, POSITIONS - 1):
            (plain_cache, plain_cross), (cache, cross) = caches(lm), caches(lm)
            span, place = cache.span(position), torch.tensor([position])
            expected = lm.step(tokens, place, span, plain_cache, plain_cross, bias)
            found = step(tokens, place, span, cache, cross, bias)
            tolerance = TOLERANCES[weight_format]
            assert (found - expected).abs().max() <= tolerance * expected.abs().max()
            for mine, theirs in zip(
                cache.keys + cache.values, plain_cache.keys + plain_cache.values, strict=True
            ):
                difference = (mine.float() - theirs.float()).abs()
                assert difference[:, :, position].max() <= tolerance * 8
                difference[:, :, position] = 0
                assert difference.max() == 0, "nothing else is written"


def test_quantised_weights_are_nearer_to_their_own_values(tiny_text: Path) -> None:
    """Against the exact products of the stored weights it is better than what it replaces."""
    lm = load(tiny_text, WeightFormat.INT8)
    exact = load(tiny_text, WeightFormat.FP32)
    for name, module in exact.named_modules():
        stored = dict(lm.named_modules())[name]
        if hasattr(stored, "scales"):
            module.weight.copy_(stored.weight.float() * stored.scales.float()[:, None])
        elif hasattr(module, "bias"):
            module.weight.data.copy_(stored.weight.float())
            module.bias.data.copy_(stored.bias.float())
    exact.embeddings.copy_(lm.embeddings.float())
    tokens, place = torch.arange(lm.config.num_codebooks), torch.tensor([0])
    with torch.inference_mode():
        cache, _ = caches(exact)
        truth = exact.step(tokens, place, 64, cache, None)
        errors = []
        for run in (lm.step, fast(lm)):
            cache, _ = caches(lm)
            errors.append((run(tokens, place, 64, cache, None) - truth).abs().mean())
    assert errors[1] < errors[0]


@pytest.mark.parametrize("rows", [1, 3, 4, 5, 9])
def test_any_number_of_rows(tiny_text: Path, rows: int) -> None:
    lm = load(tiny_text)
    tokens, place = torch.arange(lm.config.num_codebooks), torch.tensor([7])
    with torch.inference_mode():
        expected = lm.step(tokens, place, 64, *caches(lm, rows))
        found = fast(lm)(tokens, place, 64, *caches(lm, rows))
        assert found.shape[0] == rows
        assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_checkpoints_without_cross_attention_and_in_stereo(
    tiny_melody: Path, tiny_stereo: Path
) -> None:
    for folder in (tiny_melody, tiny_stereo):
        lm = load(folder)
        tokens, place = torch.arange(lm.config.num_codebooks), torch.tensor([90])
        with torch.inference_mode():
            expected = lm.step(tokens, place, 128, *caches(lm))
            found = fast(lm)(tokens, place, 128, *caches(lm))
        assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_threads_make_no_difference(tiny_text: Path) -> None:
    lm = load(tiny_text, WeightFormat.INT4)
    tokens, place = torch.arange(lm.config.num_codebooks), torch.tensor([100])
    before, outputs = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            with torch.inference_mode():
                outputs.append(fast(lm)(tokens, place, 128, *caches(lm)))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(outputs[0], outputs[1]) and torch.equal(outputs[0], outputs[2])


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("weight_format", TOLERANCES)
def test_what_is_no_number_is_not_hidden(
    tiny_text: Path, weight_format: WeightFormat, bad: float
) -> None:
    lm = load(tiny_text, weight_format)
    cache, cross = caches(lm)
    bias = torch.zeros(2, lm.config.d_model)
    bias[1, 3] = bad
    tokens, place = torch.arange(lm.config.num_codebooks), torch.tensor([5])
    with torch.inference_mode():
        logits = fast(lm)(tokens, place, 64, cache, cross, bias)
    assert torch.isfinite(logits[0]).all() and not torch.isfinite(logits[1]).any()


def test_int4_levels_are_kept_as_they_were_made() -> None:
    weight = torch.randn(16, 128, generator=torch.Generator().manual_seed(2))
    layer = Int4Linear(**Int4Linear.quantise(weight))
    levels = layer.unpacked_levels().float().view(16, 2, 64)
    scale, zero = layer.scales_and_zeros.float().permute(2, 1, 0)[..., None]
    rebuilt = ((levels - Int4Linear.ZERO_LEVEL) * scale + zero).view(16, 128)
    assert torch.allclose(rebuilt, layer.dense.float(), rtol=1e-2, atol=1e-3)


def test_fp16_runs_on_operators(tiny_text: Path) -> None:
    assert native_step(load(tiny_text, WeightFormat.FP16)) is None


def test_without_a_compiler_there_is_no_native_step(
    tiny_text: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    native_build.native_library.cache_clear()
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert native_step(load(tiny_text)) is None
    assert "no C++ compiler" in caplog.text
    native_build.native_library.cache_clear()


def test_the_library_is_built_once_and_a_failure_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MUSICGEN_RT_CACHE", str(tmp_path))
    native_build.native_library.cache_clear()
    try:
        assert native_build.native_library() is not None
        (built,) = (tmp_path / "native").iterdir()
        when = built.stat().st_mtime_ns
        native_build.native_library.cache_clear()
        assert native_build.native_library() is not None
        assert built.stat().st_mtime_ns == when
        broken = tmp_path / "broken"
        broken.write_text("#!/bin/sh\necho no such target >&2\nexit 1\n")
        broken.chmod(0o755)
        monkeypatch.setenv("CXX", str(broken))
        native_build.native_library.cache_clear()
        assert native_build.native_library() is None
        assert "no such target" in caplog.text
        assert os.listdir(tmp_path / "native") == [built.name], "no half-built file stays"
    finally:
        native_build.native_library.cache_clear()


def test_a_library_of_another_layout_is_refused(tiny_text: Path) -> None:
    class Other:
        def mgrt_decoder_sizes(self, which: int) -> int:
            return ctypes.sizeof(ctypes.c_void_p) * which

    with pytest.raises(MusicgenRTError, match="remove the folder 'native'"):
        NativeStep(load(tiny_text), Other())  # type: ignore[arg-type]
