"""The cache of quantised matrices: used when it fits, harmless when it does not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from musicgen_rt.model import quantised_cache
from musicgen_rt.model.checkpoint import Checkpoint
from musicgen_rt.model.linear import WeightFormat
from musicgen_rt.model.lm import LM
from musicgen_rt.model.lm_weights import load_lm


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("MUSICGEN_RT_CACHE", str(folder))
    return folder


def _load(folder: Path, weight_format: WeightFormat = WeightFormat.INT4) -> LM:
    with Checkpoint.open(folder) as checkpoint:
        return load_lm(checkpoint, weight_format, torch.device("cpu"))


def _files(cache: Path) -> list[Path]:
    return sorted(cache.rglob("*.safetensors"))


def _same(one: LM, two: LM) -> bool:
    mine, theirs = one.state_dict(), two.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[key], theirs[key]) for key in mine)


def test_second_load_reads_the_cache_and_is_the_same(
    tiny_text: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = _load(tiny_text)
    assert len(_files(own_cache)) == 1
    calls: list[object] = []
    monkeypatch.setattr(quantised_cache, "quantise", lambda *given: calls.append(given))
    assert _same(first, _load(tiny_text))
    assert not calls


def test_formats_and_checkpoints_do_not_share_entries(
    tiny_text: Path, tmp_path: Path, own_cache: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_text, copy)
    _load(tiny_text)
    _load(tiny_text, WeightFormat.INT8)
    _load(copy)
    assert len(_files(own_cache)) == 3


def test_dense_formats_write_nothing(tiny_text: Path, own_cache: Path) -> None:
    _load(tiny_text, WeightFormat.BF16)
    assert not _files(own_cache)


def test_a_damaged_cache_is_made_again(tiny_text: Path, own_cache: Path) -> None:
    first = _load(tiny_text)
    (path,) = _files(own_cache)
    path.write_bytes(path.read_bytes()[:100])
    assert _same(first, _load(tiny_text))
    assert path.stat().st_size > 100


def test_a_cache_that_cannot_be_written_is_no_error(
    tiny_text: Path, own_cache: Path, tmp_path: Path
) -> None:
    own_cache.write_text("a file where the folder should be")
    _load(tiny_text)
    assert own_cache.read_text().startswith("a file")
