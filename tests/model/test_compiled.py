"""The compiled step computes what the plain one does, at every span, from one compilation."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from musicgen_rt.model.checkpoint import Checkpoint
from musicgen_rt.model.compiled import compiled_step, has_compiler
from musicgen_rt.model.kv_cache import CrossCache, KVCache
from musicgen_rt.model.linear import WeightFormat
from musicgen_rt.model.lm import LM
from musicgen_rt.model.lm_weights import load_lm
from tests.programs import requires_program


def _lm(folder: Path, weight_format: WeightFormat = WeightFormat.FP32) -> LM:
    with Checkpoint.open(folder) as checkpoint:
        return load_lm(checkpoint, weight_format, torch.device("cpu"))


def _caches(lm: LM, rows: int = 2) -> tuple[KVCache, CrossCache]:
    generator = torch.Generator().manual_seed(0)
    cache = KVCache.allocate(lm.config, rows, 300, lm.dtype, lm.device)
    cross = CrossCache.allocate(lm.config, rows, 16, lm.dtype, lm.device)
    for tensor in cache.keys + cache.values + cross.keys + cross.values:
        tensor.copy_(torch.randn(tensor.shape, generator=generator))
    return cache, cross


@pytest.mark.parametrize("weight_format", [WeightFormat.FP32, WeightFormat.INT4])
def test_compiled_equals_plain_and_compiles_once(
    tiny_text: Path, weight_format: WeightFormat
) -> None:
    requires_program("g++")
    lm = _lm(tiny_text, weight_format)
    step = compiled_step(lm)
    assert step is not lm.step
    torch._dynamo.utils.counters.clear()
    tokens = torch.arange(lm.config.num_codebooks)
    with torch.inference_mode():
        for position in (3, 70, 130, 299):
            outputs = []
            for run in (lm.step, step):
                cache, cross = _caches(lm)
                span = cache.span(position)
                outputs.append(run(tokens, torch.tensor([position]), span, cache, cross))
            scale = outputs[0].abs().max()
            tolerance = 1e-5 if weight_format is WeightFormat.FP32 else 0.03
            assert (outputs[0] - outputs[1]).abs().max() <= tolerance * scale
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


def test_compiled_step_takes_another_number_of_rows(tiny_text: Path) -> None:
    requires_program("g++")
    lm = _lm(tiny_text)
    step = compiled_step(lm)
    tokens, position = torch.arange(lm.config.num_codebooks), torch.tensor([7])
    with torch.inference_mode():
        for rows in (2, 4, 1, 2):
            plain = lm.step(tokens, position, 64, *_caches(lm, rows))
            assert plain.shape[0] == rows
            compiled = step(tokens, position, 64, *_caches(lm, rows))
            assert torch.allclose(plain, compiled, rtol=1e-4, atol=1e-4)


def test_compiled_code_is_kept_in_the_users_cache(
    tiny_text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requires_program("g++")
    monkeypatch.setenv("MUSICGEN_RT_CACHE", str(tmp_path))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    compiled_step(_lm(tiny_text))
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "compiled")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "own"))
    compiled_step(_lm(tiny_text))
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "own")


def test_without_a_compiler_the_plain_step_is_used(
    tiny_text: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    lm = _lm(tiny_text)
    assert not has_compiler()
    assert compiled_step(lm) == lm.step
    assert "no C++ compiler" in caplog.text
