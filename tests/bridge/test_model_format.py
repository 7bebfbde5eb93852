"""The format of a checkpoint without loading it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import AutoConfig

from bridge.model_format import ModelFormat, checkpoint_folder, find_format


def test_formats_are_those_that_transformers_reads(tiny_text: Path, tiny_stereo: Path) -> None:
    for folder in (tiny_text, tiny_stereo):
        config = AutoConfig.from_pretrained(folder)
        found = find_format(str(folder))
        assert found is not None
        assert found.sample_rate_hz == config.audio_encoder.sampling_rate
        assert found.hop_samples == config.audio_encoder.hop_length
        assert found.channels == config.decoder.audio_channels
        assert found.frame_rate_hz == config.audio_encoder.frame_rate


def test_what_json_leaves_out_has_the_defaults_of_transformers(tmp_path: Path) -> None:
    from transformers import EncodecConfig

    (tmp_path / "config.json").write_text('{"audio_encoder": {}, "decoder": {}}')
    found = find_format(str(tmp_path))
    default = EncodecConfig()
    assert found == ModelFormat(default.sampling_rate, default.hop_length, 1)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"audio_encoder": 3, "decoder": {}}', "[" * 2000, '{"audio_encoder": {'],
)
def test_what_is_damaged_is_for_the_engine_to_report(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    assert find_format(str(tmp_path)) is None


@pytest.mark.parametrize(
    "source", ["nowhere/at-all", "/no/such/folder", "~nobody-of-this-name/x", "a/../../etc", "\0"]
)
def test_what_is_not_there_has_no_format(source: str) -> None:
    assert find_format(source) is None


def test_the_hubs_cache_is_looked_into(
    tmp_path: Path, tiny_stereo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants, try_to_load_from_cache

    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--some--stereo-model"
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    (snapshot / "config.json").write_text((tiny_stereo / "config.json").read_text())
    # The layout is the library's: it must find the same file.
    reference = try_to_load_from_cache("some/stereo-model", "config.json", cache_dir=tmp_path)
    folder = checkpoint_folder("some/stereo-model")
    assert folder is not None
    assert str(folder / "config.json") == reference
    assert find_format("some/stereo-model") == find_format(str(tiny_stereo))


def test_pocket_is_a_folder_of_the_engine() -> None:
    folder = checkpoint_folder("pocket")
    assert folder is not None
    assert folder.parts[-2:] == ("musicgen_rt", "pocket")
    path = folder / "config.json"
    if path.is_file():  # it ships with a release
        rate = json.loads(path.read_text())["audio_encoder"]["sampling_rate"]
        found = find_format("pocket")
        assert found is not None
        assert found.sample_rate_hz == rate
