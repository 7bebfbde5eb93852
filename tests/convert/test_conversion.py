"""A checkpoint of audiocraft's own classes computes the same after it was converted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from musicgen_rt.commands import convert as command
from musicgen_rt.convert.conversion import convert
from musicgen_rt.live.engine import Engine
from musicgen_rt.model.checkpoint import Checkpoint
from musicgen_rt.model.chroma import ChromaExtractor, ChromaParameters
from musicgen_rt.model.kv_cache import CrossCache, KVCache
from musicgen_rt.model.musicgen import MusicGen
from tests.live.reference import Reference
from tests.support.audiocraft import Recorded, write_source

LOGITS_TOLERANCE = 1e-4
AUDIO_TOLERANCE = 1e-5
CPU = torch.device("cpu")

Converted = Callable[[str], Path]


def load(folder: Path) -> MusicGen:
    return MusicGen.load(str(folder), device="cpu", weights="fp32")


def assert_close(found: Tensor, expected: Tensor, tolerance: float) -> None:
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, rtol=0.0, atol=tolerance)


def text_states(model: MusicGen, prompt: str, length: int | None = None) -> Tensor:
    """Projected states [S, D], followed by zeros up to `length`."""
    states = model.lm.conditioning.text_states(model.text.encode(prompt))
    return functional.pad(states, (0, 0, 0, (length or len(states)) - len(states)))


def cross_logits(model: MusicGen, tokens: Tensor, states: Tensor) -> Tensor:
    """Logits [2, K, S, V] of a text row and the null row."""
    config = model.lm.config
    cache = KVCache.allocate(config, 2, tokens.shape[1], torch.float32, CPU)
    cross = CrossCache.allocate(config, 2, 64, torch.float32, CPU)
    cross.set_row(0, model.lm.conditioning.cross_attention(states))
    hidden = model.lm.prefill(tokens, 0, cache, cross)
    return model.lm.logits(hidden).transpose(1, 2)


@pytest.mark.parametrize("name", ["text", "stereo", "audiogen"])
@torch.inference_mode()
def test_logits_with_cross_attention(name: str, converted: Converted) -> None:
    recorded, model = Recorded.load(name), load(converted(name))
    tokens, (prompt, longer) = recorded.outputs["tokens"], recorded.prompts
    found = cross_logits(model, tokens, text_states(model, prompt))
    assert_close(found, recorded.outputs["logits_alone"], LOGITS_TOLERANCE)
    # Beside a longer prompt audiocraft pads with zeros that attention sees.
    padded = text_states(model, prompt, len(text_states(model, longer)))
    found_padded = cross_logits(model, tokens, padded)
    assert_close(found_padded, recorded.outputs["logits_padded"], LOGITS_TOLERANCE)
    assert float((found_padded - found)[0].abs().max()) > 10 * LOGITS_TOLERANCE


@pytest.mark.parametrize("name", ["text", "stereo", "audiogen"])
def test_greedy_tokens_under_guidance(name: str, converted: Converted) -> None:
    """The likeliest tokens one after the other, in the order that the delays say."""
    recorded = Recorded.load(name)
    expected = recorded.outputs["codes_greedy"].numpy()
    engine = Engine(load(converted(name)))
    engine.set_prompt(recorded.prompts[0])
    engine.set_parameter("temperature", 0.0)
    engine.step(expected.shape[1])
    # At its end audiocraft's sequence has special tokens where an endless one goes on.
    frames = expected.shape[1] - max(engine.model.config.lm.delays)
    assert np.array_equal(engine.codes(0, frames), expected[:, :frames])


@torch.inference_mode()
def test_logits_behind_a_melody(converted: Converted) -> None:
    recorded, model = Recorded.load("melody"), load(converted("melody"))
    tokens, chroma = recorded.outputs["tokens"], recorded.outputs["chroma"]
    shape = model.config.chroma
    assert shape is not None and chroma.shape == (shape.chroma_length, shape.num_chroma)
    text = text_states(model, recorded.prompts[0])
    null = functional.one_hot(torch.zeros(len(chroma), dtype=torch.int64), shape.num_chroma)
    rows = [
        torch.cat([model.lm.conditioning.chroma_states(chroma), text]),
        torch.cat([model.lm.conditioning.chroma_states(null), torch.zeros_like(text)]),
    ]
    prefix = torch.stack(rows)
    positions = prefix.shape[1] + tokens.shape[1]
    cache = KVCache.allocate(model.lm.config, 2, positions, torch.float32, CPU)
    model.lm.prefill_prefix(prefix, cache)
    hidden = model.lm.prefill(tokens, prefix.shape[1], cache, None)
    found = model.lm.logits(hidden).transpose(1, 2)
    assert_close(found, recorded.outputs["logits_alone"], LOGITS_TOLERANCE)


@pytest.mark.parametrize("name", ["magnet", "audio_magnet"])
@torch.inference_mode()
def test_logits_of_masked_codes(name: str, converted: Converted) -> None:
    """All frames at once: of the first codebook seeing all, of later ones what is near."""
    recorded, model = Recorded.load(name), load(converted(name))
    magnet, config = model.config.magnet, model.lm.config
    assert magnet is not None and magnet.context_frames == 5
    tokens = recorded.outputs["tokens"]
    cache = KVCache.allocate(config, 2, tokens.shape[1], torch.float32, CPU)
    cross = CrossCache.allocate(config, 2, 64, torch.float32, CPU)
    states = text_states(model, recorded.prompts[0])
    cross.set_row(0, model.lm.conditioning.cross_attention(states))
    for codebook, reach in (("first", None), ("later", magnet.context_frames)):
        found = model.lm.logits(model.lm.parallel(tokens, cache, cross, reach)).transpose(1, 2)
        assert_close(found, recorded.outputs[f"logits_{codebook}"], LOGITS_TOLERANCE)


def test_the_chroma_of_a_melody(converted: Converted) -> None:
    """Three tones of a second each, heard as audiocraft's own extractor hears them."""
    shape = load(converted("melody")).config.chroma
    assert shape is not None
    seconds = torch.arange(32000) / 32000
    tones = [torch.sin(2 * torch.pi * hz * seconds) for hz in (261.63, 329.63, 392.0)]
    parameters = ChromaParameters(shape.sampling_rate_hz, shape.n_fft, shape.hop_samples)
    found = ChromaExtractor(parameters).extract(torch.cat(tones).numpy(), 32000)
    assert torch.equal(found, Recorded.load("melody").outputs["chroma"])


@pytest.mark.parametrize(("name", "codec"), [("text", "codec32"), ("audiogen", "codec16")])
@torch.inference_mode()
def test_codec_audio_and_codes(name: str, codec: str, converted: Converted) -> None:
    recorded, model = Recorded.load(codec).outputs, load(converted(name))
    audio = model.codec.codec.decode(recorded["codes"])
    assert_close(audio, recorded["audio"], AUDIO_TOLERANCE)
    assert torch.equal(model.codec.codec.encode(recorded["wave"]).codes, recorded["wave_codes"])


@torch.inference_mode()
def test_stereo_audio_and_codes(converted: Converted) -> None:
    recorded, codec = Recorded.load("codec32").outputs, load(converted("stereo")).codec
    audio = codec.decode(recorded["stereo_codes"][0])
    assert_close(audio, recorded["stereo_audio"][0], AUDIO_TOLERANCE)
    codes = codec.encode(recorded["stereo_wave"][0], drop_tail_frames=0)
    assert torch.equal(codes, recorded["stereo_wave_codes"][0])


@pytest.mark.parametrize("name", ["text", "stereo", "melody"])
@torch.inference_mode()
def test_transformers_loads_it_and_agrees(name: str, converted: Converted) -> None:
    """The layout is transformers' own: a second reader finds the same model in it."""
    recorded = Recorded.load(name)
    reference = Reference(converted(name), is_melody=name == "melody")
    chroma = recorded.outputs.get("chroma")
    logits = reference.logits(recorded.outputs["tokens"], recorded.prompts[0], chroma=chroma)
    expected = recorded.outputs["logits_alone"][0].transpose(0, 1)
    assert_close(logits, expected, LOGITS_TOLERANCE)


def test_the_config_in_the_file_is_the_authority(converted: Converted) -> None:
    with Checkpoint.open(converted("audiogen")) as checkpoint:
        config = checkpoint.config
        assert checkpoint.tensor("decoder.lm_heads.0.weight").dtype == torch.float32
    assert config.lm.delays == (0, 1, 3, 4)
    assert (config.sampling_rate_hz, config.frame_rate_hz) == (16000, 50.0)
    assert config.codec_json["pad_mode"] == "constant"
    assert config.window_frames == 100
    assert config.guidance_scale == 3.0
    with Checkpoint.open(converted("audio_magnet")) as checkpoint:
        magnet = checkpoint.config.magnet
    assert magnet is not None
    assert magnet.decoding_steps == (20, 10, 10, 10)
    assert (magnet.temperature, magnet.top_p, magnet.max_guidance) == (3.5, 0.8, 20.0)
    with Checkpoint.open(converted("magnet")) as checkpoint:
        magnet = checkpoint.config.magnet
        assert checkpoint.config.codec_json["pad_mode"] == "reflect"
    assert magnet is not None and magnet.decoding_steps == (60, 10, 10, 10)
    with Checkpoint.open(converted("stereo")) as checkpoint:
        assert checkpoint.config.lm.delays == (0, 0, 1, 1, 2, 2, 3, 3)
        assert checkpoint.config.channels == 2


def test_dropout_is_the_files(tmp_path: Path, t5: Callable[[str], Path]) -> None:
    """What only training reads is kept too."""
    source, recorded = write_source(tmp_path / "source", "text"), Recorded.load("text")
    said = (
        ("  dropout: 0.0", "  dropout: 0.25"),
        ("attention_dropout: null", "attention_dropout: 0.5"),
    )
    config = recorded.config
    for old, new in said:
        assert old in config
        config = config.replace(old, new)
    torch.save({"best_state": recorded.state, "xp.cfg": config}, source / "state_dict.bin")
    convert(str(source), tmp_path / "out", text_encoder=str(t5("t5-base")))
    decoder = json.loads((tmp_path / "out" / "config.json").read_text())["decoder"]
    found = [decoder[f"{name}dropout"] for name in ("", "activation_", "attention_")]
    assert found == [0.25, 0.25, 0.5]


def test_a_codec_of_more_codebooks_is_used_as_far_as_they_are_modelled(
    tmp_path: Path, t5: Callable[[str], Path]
) -> None:
    """`compression_model_n_q`: the coarse codebooks of a codec that has more."""
    source, codec = write_source(tmp_path / "source", "text"), Recorded.load("codec32")
    state = dict(codec.state)
    for name, tensor in codec.state.items():
        if ".layers.3." in name and name.startswith("quantizer"):
            state[name.replace(".layers.3.", ".layers.4.")] = tensor.flip(0)
    assert len(state) > len(codec.state)
    more = codec.config.replace("  n_q: 4", "  n_q: 5")
    torch.save({"best_state": state, "xp.cfg": more}, source / "compression_state_dict.bin")
    package = Recorded.load("text").package()
    package["xp.cfg"] = package["xp.cfg"].replace("_n_q: null", "_n_q: 4")
    torch.save(package, source / "state_dict.bin")
    convert(str(source), tmp_path / "out", text_encoder=str(t5("t5-base")))
    audio = load(tmp_path / "out").codec.decode(codec.outputs["codes"][0])
    assert_close(audio, codec.outputs["audio"][0], AUDIO_TOLERANCE)


def test_half_precision_stays_as_it_is_stored(tmp_path: Path, t5: Callable[[str], Path]) -> None:
    source = write_source(tmp_path / "source", "text")
    package = Recorded.load("text").package()
    package["best_state"] = {k: v.half() for k, v in package["best_state"].items()}
    torch.save(package, source / "state_dict.bin")
    convert(str(source), tmp_path / "out", text_encoder=str(t5("t5-base")))
    with Checkpoint.open(tmp_path / "out") as checkpoint:
        name = "decoder.model.decoder.layers.1.self_attn.v_proj.weight"
        rows = Recorded.load("text").state["transformer.layers.1.self_attn.in_proj_weight"][32:]
        assert torch.equal(checkpoint.tensor(name), rows.half())


def test_the_first_releases_are_read(
    tmp_path: Path, converted: Converted, t5: Callable[[str], Path]
) -> None:
    """Files without a version, attention in its older spelling, the older form of a pickle."""
    source = write_source(tmp_path / "source", "text")
    package = Recorded.load("text").package()
    package["best_state"] = {
        name.replace("attn.", "attn.mha.").replace("attention.", "attention.mha."): tensor
        for name, tensor in package["best_state"].items()
    }
    torch.save(package, source / "state_dict.bin", _use_new_zipfile_serialization=False)
    torch.save(Recorded.load("codec32").package(), source / "compression_state_dict.bin")
    convert(str(source), tmp_path / "out", text_encoder=str(t5("t5-base")))
    assert weights(tmp_path / "out") == weights(converted("text"))


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_a_codec_file_may_only_name_another(
    tmp_path: Path, converted: Converted, t5: Callable[[str], Path]
) -> None:
    from transformers import EncodecModel, MusicgenForConditionalGeneration

    codec = MusicgenForConditionalGeneration.from_pretrained(converted("text")).audio_encoder
    assert isinstance(codec, EncodecModel)
    codec.save_pretrained(tmp_path / "encodec")
    source = write_source(tmp_path / "source", "text")
    named = {"pretrained": str(tmp_path / "encodec"), "exported": True, "version": "1.4.0a2"}
    torch.save(named, source / "compression_state_dict.bin")
    convert(str(source), tmp_path / "out", text_encoder=str(t5("t5-base")))
    recorded = Recorded.load("codec32").outputs
    audio = load(tmp_path / "out").codec.codec.decode(recorded["codes"])
    assert_close(audio, recorded["audio"], AUDIO_TOLERANCE)


def test_a_text_encoder_that_was_trained_along_is_kept(
    tmp_path: Path, t5: Callable[[str], Path]
) -> None:
    source = write_source(tmp_path / "source", "text")
    package = Recorded.load("text").package()
    own = torch.full((384, 12), 0.5)
    name = "condition_provider.conditioners.description.t5.shared.weight"
    torch.save(
        package | {"best_state": {**package["best_state"], name: own}}, source / "state_dict.bin"
    )
    convert(str(source), tmp_path / "out", text_encoder=str(t5("t5-base")))
    with Checkpoint.open(tmp_path / "out") as checkpoint:
        assert torch.equal(checkpoint.tensor("text_encoder.shared.weight"), own)


def test_the_command_converts_and_the_engine_plays(
    tmp_path: Path, t5: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    import argparse

    source = write_source(tmp_path / "source", "audiogen", "codec16")
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    out = tmp_path / "out"
    arguments = [str(source), "--out", str(out), "--text-encoder", str(t5("t5-large"))]
    assert command.run(parser.parse_args(arguments)) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(out)
    engine = Engine(load(out))
    engine.set_prompt("rain on a tin roof")
    # Past its two seconds, so that the window rolls.
    samples = sum(chunk.samples.shape[1] for chunk in engine.run(seconds=2.5))
    assert samples == 40_000 and engine.windows_rolled >= 1


def test_audiogen_keeps_all_but_its_stride(tmp_path: Path, t5: Callable[[str], Path]) -> None:
    """Ten seconds of which two are new at each roll, as audiocraft's AudioGen has it."""
    recorded = Recorded.load("audiogen")
    source = write_source(tmp_path / "source", "audiogen", "codec16")
    config = recorded.config.replace("segment_duration: 2", "segment_duration: 10")
    torch.save({"best_state": recorded.state, "xp.cfg": config}, source / "state_dict.bin")
    convert(str(source), tmp_path / "out", text_encoder=str(t5("t5-large")))
    engine = Engine(load(tmp_path / "out"))
    assert (engine.options.window_seconds, engine.options.context_seconds) == (10.0, 8.0)


def test_json_files_are_those_of_transformers(converted: Converted) -> None:
    config = json.loads((converted("text") / "config.json").read_text())
    assert config["model_type"] == "musicgen"
    assert "codebook_delays" not in config["decoder"] and "has_text_projection" not in config
    assert config["decoder"]["dropout"] == 0.0
