"""What cannot be converted is refused by name before any long work, and leaves nothing behind."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch

from musicgen_rt.convert.conversion import convert
from musicgen_rt.errors import CheckpointError
from tests.support.audiocraft import Recorded, write_source

T5 = Callable[[str], Path]


def refusal(
    tmp_path: Path,
    t5: T5,
    config: str | None = None,
    state: Mapping[str, torch.Tensor | None] | None = None,
) -> str:
    """Why a checkpoint is refused whose language model has another config or state."""
    source = write_source(tmp_path / "source", "text")
    package = Recorded.load("text").package()
    package["xp.cfg"] = package["xp.cfg"] if config is None else config
    package["best_state"] = {
        name: tensor
        for name, tensor in {**package["best_state"], **(state or {})}.items()
        if tensor is not None
    }
    torch.save(package, source / "state_dict.bin")
    out = tmp_path / "out"
    with pytest.raises(CheckpointError) as caught:
        convert(str(source), out, text_encoder=str(t5("t5-base")))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]
    return str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  num_layers: 2", "  num_layers: 3", r"layers.2.* is missing"),
        ("  dim: 16", "  dim: 32", "has shape"),
        ("  card: 32", "  card: 33", "codebook_size is 32, expected 33"),
        ("norm_first: true", "norm_first: false", "norm_first is False, expected True"),
        ("positional_embedding: sin", "positional_embedding: rope", "positional_embedding"),
        ("causal: true", "causal: false", "causal is False"),
        ("kv_repeat: 1", "kv_repeat: 2", "kv_repeat is 2"),
        ("  kv_repeat: 1", "  kv_repeat: 1\n  novelty: 3", "novelty is 3"),
        (
            "    model: t5",
            "    model: clap",
            "model is 'clap', expected one of 't5', 'chroma_stem'",
        ),
        ("    model: t5", "    model: style", "model is 'style'"),
        ("  cross:\n  - description", "  cross: []\n  sum:\n  - description", "sum"),
        ("modeling: delay", "modeling: unroll", "modeling is 'unroll'"),
        ("    flatten_first: 0", "    flatten_first: 2", "flatten_first is 2"),
        ("lm_model: transformer_lm", "lm_model: flow", "lm_model is 'flow'"),
        ("\nsample_rate: 32000", "\nsample_rate: 44100", "sample_rate is 44100, expected 32000"),
        ("\nchannels: 1", "\nchannels: 2", "channels is 2"),
        ("    normalize_text: false", "    normalize_text: true", "normalize_text"),
        ("      finetune: false", "      finetune: false\n      layer: 6", "layer is 6"),
        ("_n_q: null", "_n_q: 3", "n_q is 4, expected 3, the codec's"),
        ("_n_q: null", "_n_q: 8", "compression_model_n_q is 8, expected a whole number in 1..4"),
        ("  n_q: 4", "  n_q: 2", "n_q is 2, expected 4, the codec's"),
    ],
)
def test_a_config_that_cannot_be_followed(
    tmp_path: Path, t5: T5, old: str, new: str, message: str
) -> None:
    config = Recorded.load("text").config
    assert old in config
    assert re.search(message, refusal(tmp_path, t5, config.replace(old, new)))


def test_a_melody_that_is_heard_at_another_rate(tmp_path: Path, t5: T5) -> None:
    source, melody = write_source(tmp_path / "source", "melody"), Recorded.load("melody")
    for old, new, message in (
        ("sample_rate: ${sample_rate}", "sample_rate: 16000", "sample_rate is 16000"),
        ("n_eval_wavs: 100", "n_eval_wavs: 100\n      norm: 2", "norm is 2"),
    ):
        assert old in melody.config
        package = {"best_state": melody.state, "xp.cfg": melody.config.replace(old, new)}
        torch.save(package, source / "state_dict.bin")
        with pytest.raises(CheckpointError, match=message):
            convert(str(source), tmp_path / "out", text_encoder=str(t5("t5-base")))


def test_a_tensor_without_a_place(tmp_path: Path, t5: T5) -> None:
    state = {"transformer.layers.0.self_attn.in_proj_bias": torch.zeros(48)}
    message = refusal(tmp_path, t5, state=state)
    assert "in_proj_bias" in message and "no place" in message


def test_a_tensor_that_is_not_there(tmp_path: Path, t5: T5) -> None:
    message = refusal(tmp_path, t5, state={"out_norm.bias": None})
    assert "decoder.model.decoder.layer_norm.bias is missing, expected [16]" in message


@pytest.mark.parametrize("config", ["a: [", "- 1", "!!python/object/apply:os.getcwd []"])
def test_a_config_that_is_none(tmp_path: Path, t5: T5, config: str) -> None:
    assert "xp.cfg" in refusal(tmp_path, t5, config)


def test_a_config_whose_references_run_in_a_circle(tmp_path: Path, t5: T5) -> None:
    config = Recorded.load("text").config.replace("card: 32", "card: ${transformer_lm.card}")
    assert "card is '${transformer_lm.card}'" in refusal(tmp_path, t5, config)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("renormalize: false", "renormalize: true", "renormalize is True"),
        ("norm: weight_norm", "norm: spectral_norm", "norm is 'spectral_norm'"),
        ("autoencoder: seanet", "autoencoder: wavelet", "autoencoder is 'wavelet'"),
        ("activation: ELU", "activation: ReLU", "activation is 'ReLU'"),
        ("  encoder: {}", "  encoder:\n    n_filters: 4", "n_filters is 4"),
        ("  lstm: 2", "  lstm: 3", "is missing"),
        ("  norm_params: {}", "  norm_params:\n    eps: 0.1", "norm_params is"),
        ("  pad_mode: reflect", "  pad_mode: circular", "pad_mode is 'circular'"),
        ("  channels: ${channels}\n  causal: ${", "  channels: 2\n  causal: ${", "channels is 2"),
    ],
)
def test_a_codec_that_cannot_be_followed(
    tmp_path: Path, t5: T5, old: str, new: str, message: str
) -> None:
    source = write_source(tmp_path / "source", "text")
    codec = Recorded.load("codec32")
    assert old in codec.config
    package = {"best_state": codec.state, "xp.cfg": codec.config.replace(old, new)}
    torch.save(package, source / "compression_state_dict.bin")
    with pytest.raises(CheckpointError, match=message):
        convert(str(source), tmp_path / "out", text_encoder=str(t5("t5-base")))


def test_companions_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    source = write_source(tmp_path / "source", "text")
    with pytest.raises(CheckpointError, match=r"t5-base .*--text-encoder"):
        convert(str(source), tmp_path / "out", text_encoder=str(tmp_path / "nothing"))
    named = {"pretrained": "dac_44khz", "exported": True}
    torch.save(named, source / "compression_state_dict.bin")
    with pytest.raises(CheckpointError, match=r"its codec .*--codec"):
        convert(str(source), tmp_path / "out", text_encoder=str(tmp_path))


def test_a_codec_that_is_none(tmp_path: Path, t5: T5) -> None:
    source, other = write_source(tmp_path / "source", "text"), t5("t5-base")
    with pytest.raises(CheckpointError, match=rf"{other}: .*model_type is 't5', expected"):
        convert(str(source), tmp_path / "out", text_encoder=str(other), codec=str(other))


def test_a_folder_that_lacks_a_file(tmp_path: Path, t5: T5) -> None:
    source = write_source(tmp_path / "source", "text")
    (source / "compression_state_dict.bin").unlink()
    with pytest.raises(CheckpointError, match=r"compression_state_dict\.bin: no such file"):
        convert(str(source), tmp_path / "out", text_encoder=str(t5("t5-base")))
    with pytest.raises(CheckpointError, match="choose a new one"):
        convert(str(source), source, text_encoder=str(t5("t5-base")))
