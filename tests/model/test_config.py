"""The config is read as transformers reads it, and every bad field is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from transformers import (
    EncodecConfig,
    MusicgenConfig,
    MusicgenDecoderConfig,
    MusicgenMelodyConfig,
    MusicgenMelodyDecoderConfig,
    MusicgenMelodyFeatureExtractor,
    T5Config,
)

from musicgen_rt.errors import CheckpointError
from musicgen_rt.model.chroma_shape import ChromaShape
from musicgen_rt.model.config import ClockConfig, ModelConfig


def text_json(**decoder: Any) -> dict[str, Any]:
    """config.json as transformers writes it for a model at its defaults but for `decoder`."""
    config = MusicgenConfig(
        text_encoder=T5Config(),
        audio_encoder=EncodecConfig(codebook_size=2048, sampling_rate=32000),
        decoder=MusicgenDecoderConfig(**decoder),
    )
    values: dict[str, Any] = json.loads(config.to_json_string())
    return values


def melody_json() -> dict[str, Any]:
    config = MusicgenMelodyConfig(
        text_encoder=T5Config(d_model=768),
        audio_encoder=EncodecConfig(codebook_size=2048),
        decoder=MusicgenMelodyDecoderConfig(),
        num_chroma=24,
        chroma_length=100,
    )
    values: dict[str, Any] = json.loads(config.to_json_string())
    return values


def test_values_left_out_are_transformers_defaults() -> None:
    values = text_json()
    for section in ("decoder", "audio_encoder", "text_encoder"):
        kept = {"model_type", "codebook_size"}
        values[section] = {key: values[section][key] for key in kept & set(values[section])}
    config = ModelConfig.from_json(values)
    decoder, codec = MusicgenDecoderConfig(), EncodecConfig()
    assert config.lm.vocab_size == decoder.vocab_size
    assert config.lm.num_codebooks == decoder.num_codebooks
    assert config.lm.d_model == decoder.hidden_size
    assert config.lm.num_layers == decoder.num_hidden_layers
    assert config.lm.num_heads == decoder.num_attention_heads
    assert config.lm.ffn_dim == decoder.ffn_dim
    assert config.lm.max_positions == decoder.max_position_embeddings
    assert config.lm.scale_embedding == decoder.scale_embedding
    assert config.lm.pad_token == decoder.pad_token_id
    assert config.text_d_model == T5Config().d_model
    assert config.sampling_rate_hz == codec.sampling_rate
    assert config.hop_samples == codec.hop_length
    assert config.frame_rate_hz == codec.frame_rate


def test_nothing_is_tied_to_the_small_model() -> None:
    values = text_json(
        vocab_size=64,
        num_codebooks=6,
        hidden_size=96,
        num_hidden_layers=3,
        num_attention_heads=2,
        ffn_dim=100,
        max_position_embeddings=77,
        scale_embedding=True,
        pad_token_id=64,
        audio_channels=2,
    )
    values["audio_encoder"] |= {
        "codebook_size": 64,
        "sampling_rate": 16000,
        "upsampling_ratios": [5, 4, 2],
        "target_bandwidths": [10.0],
    }
    config = ModelConfig.from_json(values)
    assert (config.sampling_rate_hz, config.frame_rate_hz, config.channels) == (16000, 400.0, 2)
    assert config.lm.delays == (0, 0, 1, 1, 2, 2)
    assert config.lm.head_dim == 48
    assert config.lm.codebooks_per_channel == 3
    assert config.lm.scale_embedding and config.lm.pad_token == 64
    assert config.chroma is None


def test_mono_delays_count_up() -> None:
    assert ModelConfig.from_json(text_json()).lm.delays == (0, 1, 2, 3)


def test_chroma_comes_from_config_and_feature_extractor() -> None:
    extractor = MusicgenMelodyFeatureExtractor(
        n_fft=8192, hop_length=2048, sampling_rate=16000, num_chroma=24
    )
    config = ModelConfig.from_json(
        melody_json(), preprocessor=json.loads(extractor.to_json_string())
    )
    assert config.kind == "melody"
    assert config.chroma == ChromaShape(24, 100, 8192, 2048, 16000)


def test_chroma_defaults_are_the_feature_extractors() -> None:
    extractor = MusicgenMelodyFeatureExtractor()
    chroma = ModelConfig.from_json(melody_json()).chroma
    assert chroma is not None
    assert chroma.n_fft == extractor.n_fft
    assert chroma.hop_samples == extractor.hop_length
    assert chroma.sampling_rate_hz == extractor.sampling_rate


def test_guidance_comes_from_the_generation_config() -> None:
    assert ModelConfig.from_json(text_json()).guidance_scale == 3.0
    generation = {"guidance_scale": 4.5}
    assert ModelConfig.from_json(text_json(), generation=generation).guidance_scale == 4.5


def test_projections_exist_where_transformers_has_them() -> None:
    assert ModelConfig.from_json(text_json(hidden_size=1024)).has_text_projection
    assert not ModelConfig.from_json(text_json(hidden_size=512)).has_text_projection


def test_frame_conditioning_round_trip() -> None:
    values = text_json()
    assert ModelConfig.from_json(values).frame_conditioning is None
    values["frame_conditioning"] = {
        "clock": {"bar_harmonics": 4},
        "chroma": True,
        "attributes": ["drums", "bass"],
        "unconditional_clock": 0.25,
        "negative_attributes": ["bass"],
    }
    config = ModelConfig.from_json(values).frame_conditioning
    assert config is not None and config.clock == ClockConfig(4, 8, 8)
    assert config.clock.num_features == 2 * 4 + 2 * 8 + 8 + 1
    assert config.chroma and config.attributes == ("drums", "bass")
    assert config.unconditional_clock == 0.25 and config.negative_attributes == ("bass",)
    values["frame_conditioning"] = json.loads(json.dumps(config.to_json()))
    assert ModelConfig.from_json(values).frame_conditioning == config


def _set(*path: str, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(values: dict[str, Any]) -> None:
        for key in path[:-1]:
            values = values[key]
        values[path[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_set("model_type", to="llama"), "model_type is 'llama'"),
        (_set("model_type", to=["musicgen"]), "model_type"),
        (_set("decoder", to=None), "decoder is missing"),
        (_set("decoder", to=[1]), "decoder is [1]"),
        (_set("audio_encoder", to="x"), "audio_encoder is 'x'"),
        (_set("decoder", "hidden_size", to=1000), "num_attention_heads is 16"),
        (_set("decoder", "hidden_size", to="1024"), "hidden_size is '1024'"),
        (_set("decoder", "hidden_size", to=1024.5), "hidden_size is 1024.5"),
        (_set("decoder", "hidden_size", to=10**12), "hidden_size"),
        (_set("decoder", "num_hidden_layers", to=True), "num_hidden_layers is True"),
        (_set("decoder", "num_hidden_layers", to=10**9), "num_hidden_layers"),
        (_set("decoder", "num_codebooks", to=0), "num_codebooks is 0"),
        (_set("decoder", "audio_channels", to=3), "audio_channels is 3"),
        (_set("decoder", "activation_function", to="relu"), "activation_function is 'relu'"),
        (_set("decoder", "scale_embedding", to=1), "scale_embedding is 1"),
        (_set("decoder", "pad_token_id", to=2049), "pad_token_id is 2049"),
        (_set("decoder", "cross_attention_hidden_size", to=512), "cross_attention_hidden_size"),
        (_set("audio_encoder", "model_type", to="dac"), "model_type is 'dac'"),
        (_set("audio_encoder", "codebook_size", to=1024), "codebook_size is 1024"),
        (_set("audio_encoder", "audio_channels", to=2), "audio_channels is 2"),
        (_set("audio_encoder", "upsampling_ratios", to=[8, 0]), "upsampling_ratios"),
        (_set("audio_encoder", "sampling_rate", to=-1), "sampling_rate is -1"),
        (_set("audio_encoder", "target_bandwidths", to=[1.5]), "target_bandwidths"),
        (_set("text_encoder", "d_model", to=0), "d_model is 0"),
        (_set("text_encoder", to={"model_type": "bert"}), "d_model is missing"),
        (_set("frame_conditioning", to={"clocks": {}}), "unknown key 'clocks'"),
        (_set("frame_conditioning", to={"clock": {"harmonics": 3}}), "unknown key 'harmonics'"),
        (_set("frame_conditioning", to={"clock": True}), "clock is True"),
        (_set("frame_conditioning", to={"unconditional_clock": 2}), "unconditional_clock is 2"),
        (_set("frame_conditioning", to={"clock": {"bar_harmonics": 0}}), "bar_harmonics is 0"),
        (_set("frame_conditioning", to={"chroma": "yes"}), "chroma is 'yes'"),
        (_set("frame_conditioning", to={"attributes": "drums"}), "attributes is 'drums'"),
        (_set("frame_conditioning", to={"attributes": ["a.b"]}), "attributes is 'a.b'"),
        (_set("frame_conditioning", to={"attributes": ["a", "a"]}), "attributes is ['a', 'a']"),
        (_set("frame_conditioning", to={"negative_attributes": ["a"]}), "some of the attributes"),
    ],
)
def test_a_bad_field_is_named(change: Callable[[dict[str, Any]], None], named: str) -> None:
    values = text_json()
    change(values)
    with pytest.raises(CheckpointError) as caught:
        ModelConfig.from_json(values)
    assert named in str(caught.value)
    assert "expected" in str(caught.value)


def test_a_stereo_model_needs_an_even_number_of_codebooks() -> None:
    with pytest.raises(CheckpointError, match="num_codebooks is 5"):
        ModelConfig.from_json(text_json(num_codebooks=5, audio_channels=2))


@pytest.mark.parametrize("scale", ["3", -1.0, float("nan")])
def test_bad_guidance_is_named(scale: Any) -> None:
    with pytest.raises(CheckpointError, match="guidance_scale"):
        ModelConfig.from_json(text_json(), generation={"guidance_scale": scale})


@pytest.mark.parametrize(
    ("key", "value"),
    [("n_fft", 0), ("hop_length", 1.5), ("sampling_rate", "32k"), ("num_chroma", 9)],
)
def test_a_bad_preprocessor_field_is_named(key: str, value: Any) -> None:
    with pytest.raises(CheckpointError, match=rf"preprocessor_config\.json: {key}"):
        ModelConfig.from_json(melody_json(), preprocessor={key: value})


@pytest.mark.parametrize(
    ("max_length", "window_frames"), [(None, 1500), (500, 500), (20, 1500), (100_000, 2048)]
)
def test_the_window_is_what_the_checkpoint_was_made_for(
    max_length: int | None, window_frames: int
) -> None:
    generation = None if max_length is None else {"max_length": max_length}
    config = ModelConfig.from_json(text_json(), generation=generation)
    assert config.window_frames == window_frames


def test_delays_may_be_said() -> None:
    config = ModelConfig.from_json(text_json(codebook_delays=[0, 1, 3, 4]))
    assert config.lm.delays == (0, 1, 3, 4)
    for delays in ([0, 1, 2], [0, 2, 1, 3], [0, 1, 2, -1], "0123", [0, 1, 2, 1000]):
        with pytest.raises(CheckpointError, match="codebook_delays"):
            ModelConfig.from_json(text_json(codebook_delays=delays))


def test_the_context_may_be_said() -> None:
    generation = {"max_length": 500, "context_length": 400}
    assert ModelConfig.from_json(text_json(), generation=generation).context_frames == 400
    with pytest.raises(CheckpointError, match=r"context_length is 500, expected .* in 1\.\.499"):
        ModelConfig.from_json(text_json(), generation=generation | {"context_length": 500})


def magnet_json(**magnet: object) -> dict[str, Any]:
    values = text_json(codebook_delays=[0, 0, 0, 0])
    return values | {"model_type": "magnet", "magnet": magnet}


def test_a_magnet_has_the_papers_defaults() -> None:
    magnet = ModelConfig.from_json(magnet_json()).magnet
    assert magnet is not None
    assert magnet.decoding_steps == (20, 10, 10, 10)
    assert (magnet.span_frames, magnet.context_frames) == (3, 5)
    assert (magnet.temperature, magnet.top_p, magnet.max_guidance) == (3.0, 0.9, 10.0)
    assert ModelConfig.from_json(text_json()).magnet is None
    unlimited = ModelConfig.from_json(magnet_json(context_frames=None)).magnet
    assert unlimited is not None and unlimited.context_frames is None


@pytest.mark.parametrize(
    ("magnet", "message"),
    [
        ({"decoding_steps": [20, 10]}, "decoding_steps"),
        ({"decoding_steps": [20, 10, 10, 0]}, r"decoding_steps\[3\] is 0"),
        ({"span_frames": 0}, "span_frames is 0"),
        ({"max_guidance": float("nan")}, "max_guidance"),
        ({"spans": 3}, "unknown key 'spans'"),
    ],
)
def test_a_magnet_that_cannot_be_decoded(magnet: dict[str, object], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        ModelConfig.from_json(magnet_json(**magnet))


def test_a_magnet_has_no_delays() -> None:
    values = magnet_json()
    del values["decoder"]["codebook_delays"]
    with pytest.raises(CheckpointError, match=r"decoder\.codebook_delays .* expected zeros"):
        ModelConfig.from_json(values)
