"""A trained codec's export in the programs that read it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import EncodecModel

from musicgen_rt.model.codec import Codec
from musicgen_rt.model.codec_config import CodecConfig
from musicgen_rt.train.codec_export import export_codec
from musicgen_rt.train.codec_model import CodecModel, CodecShape

SHAPE = CodecShape(filters=4, latent_channels=8, codebook_size=16)


@pytest.fixture(scope="module")
def model() -> CodecModel:
    torch.manual_seed(0)
    model = CodecModel(SHAPE).eval()
    model.quantizer.start_from(model.latents(torch.randn(1, 1, 100 * 640)).detach())
    return model


def test_transformers_hears_the_same(model: CodecModel, tmp_path: Path) -> None:
    export_codec(model, tmp_path)
    loaded: Any = EncodecModel.from_pretrained(tmp_path, output_loading_info=True)
    reference, info = loaded
    assert not any(info.values())
    reference.eval()
    audio = 0.3 * torch.randn(2, 1, 20 * 640)
    with torch.no_grad():
        codes = reference.encode(audio).audio_codes[0]
        heard = reference.decode(codes[None], [None]).audio_values
    assert torch.equal(model.encode(audio), codes)
    assert float((model.decode(codes) - heard).abs().max()) < 1e-5
    assert float(heard.abs().max()) > 0.01


def test_the_config_says_what_the_codec_is(model: CodecModel, tmp_path: Path) -> None:
    export_codec(model, tmp_path)
    config = EncodecModel.from_pretrained(tmp_path).config
    assert (config.num_quantizers, config.frame_rate, config.hop_length) == (4, 50, 640)
    assert (config.pad_mode, config.use_causal_conv, config.sampling_rate) == (
        "constant",
        False,
        32_000,
    )
    assert not config.use_conv_shortcut


@pytest.mark.parametrize("identity_lstm", [True, False])
def test_the_engine_hears_the_same(model: CodecModel, tmp_path: Path, identity_lstm: bool) -> None:
    export_codec(model, tmp_path, identity_lstm=identity_lstm)
    tensors = load_file(tmp_path / "model.safetensors")
    assert any("lstm" in name for name in tensors) == identity_lstm
    config = CodecConfig.from_json(json.loads((tmp_path / "config.json").read_text()))
    engine = Codec.from_tensors(config, tensors.__getitem__)
    codes = torch.randint(0, SHAPE.codebook_size, (1, SHAPE.codebooks, 12))
    assert float((engine.decode(codes) - model.decode(codes)).abs().max()) < 1e-5


def test_half_precision_is_close(model: CodecModel, tmp_path: Path) -> None:
    export_codec(model, tmp_path, dtype=torch.float16)
    assert {t.dtype for t in load_file(tmp_path / "model.safetensors").values()} == {torch.float16}
    reference = EncodecModel.from_pretrained(tmp_path, dtype=torch.float32).eval()
    codes = torch.randint(0, SHAPE.codebook_size, (1, SHAPE.codebooks, 12))
    with torch.no_grad():
        heard = reference.decode(codes[None], [None]).audio_values
    error = (model.decode(codes) - heard).square().mean() / heard.square().mean()
    assert float(error) < 1e-4
