"""The codec's configuration and layer plan against transformers' `EncodecConfig`."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from transformers import EncodecConfig, EncodecModel

from musicgen_rt.errors import CheckpointError
from musicgen_rt.model.codec import CodecConfig, expected_shapes

MUSICGEN_32KHZ: dict[str, Any] = {
    "model_type": "encodec",
    "sampling_rate": 32_000,
    "num_filters": 64,
    "upsampling_ratios": [8, 5, 4, 4],
    "use_causal_conv": False,
    "use_conv_shortcut": False,
    "codebook_size": 2048,
    "target_bandwidths": [2.2],
}
ENCODEC_24KHZ: dict[str, Any] = {"model_type": "encodec"}
ENCODEC_48KHZ: dict[str, Any] = {
    "model_type": "encodec",
    "sampling_rate": 48_000,
    "audio_channels": 2,
    "normalize": True,
    "chunk_length_s": 1.0,
    "overlap": 0.01,
    "norm_type": "time_group_norm",
    "use_causal_conv": False,
    "target_bandwidths": [3.0, 6.0, 12.0, 24.0],
}
ALL = pytest.mark.parametrize("values", [MUSICGEN_32KHZ, ENCODEC_24KHZ, ENCODEC_48KHZ])


def test_defaults_are_those_of_transformers() -> None:
    ours, theirs = CodecConfig.from_json({}), EncodecConfig()
    for field in fields(CodecConfig):
        value = getattr(ours, field.name)
        if field.name == "codebook_dim":
            value = value or ours.hidden_size
        assert value == getattr(theirs, field.name), field.name


@ALL
def test_derived_sizes_are_those_of_transformers(values: dict[str, Any]) -> None:
    ours, theirs = CodecConfig.from_json(values), EncodecConfig(**values)
    assert ours.hop_samples == theirs.hop_length
    assert ours.num_codebooks == theirs.num_quantizers
    assert ours.segment_samples == theirs.chunk_length
    assert ours.segment_stride_samples == theirs.chunk_stride


def test_config_written_by_transformers_is_read_back() -> None:
    written = EncodecConfig(**ENCODEC_48KHZ).to_dict()
    ours = CodecConfig.from_json(written)
    assert ours.segment_frames == 150
    assert ours.frame_rate_hz == 150.0
    assert (ours.sample_rate_hz, ours.audio_channels, ours.normalize) == (48_000, 2, True)


@ALL
def test_expected_shapes_are_the_tensors_of_transformers(values: dict[str, Any]) -> None:
    small = {**values, "num_filters": 4, "hidden_size": 8, "codebook_size": 32}
    state = EncodecModel(EncodecConfig(**small)).state_dict()
    for name in [n for n in state if n.endswith(("inited", "cluster_size", "embed_avg"))]:
        del state[name]  # training alone reads these
    assert expected_shapes(small) == {name: tuple(t.shape) for name, t in state.items()}


def test_lookahead_of_musicgens_codec() -> None:
    config = CodecConfig.from_json(MUSICGEN_32KHZ)
    assert config.hop_samples == 640
    assert config.frame_rate_hz == 50.0
    assert config.lookahead_samples == 2402
    assert config.lookahead_frames == 4
    # The first frame is final once four more are there; each later frame adds a hop.
    assert [config.samples_ready(n) for n in (0, 3, 5, 6, 100)] == [0, 0, 798, 1438, 61_598]
    assert config.total_samples(100) == 64_000


def test_causal_codec_looks_ahead_only_to_mirror_its_start() -> None:
    config = CodecConfig.from_json(ENCODEC_24KHZ)
    assert config.lookahead_samples == 0
    assert [config.samples_ready(n) for n in (0, 6, 7, 8)] == [0, 0, 7 * 320, 8 * 320]
    unmirrored = CodecConfig.from_json({"pad_mode": "constant"})
    assert [unmirrored.samples_ready(n) for n in (0, 1, 2)] == [0, 320, 640]


def test_segments_of_the_48khz_codec() -> None:
    config = CodecConfig.from_json(ENCODEC_48KHZ)
    assert [config.samples_ready(n) for n in (149, 150, 299, 300)] == [0, 47_520, 47_520, 95_040]
    assert config.total_samples(150) == 48_000
    assert config.total_samples(151) == 48_000  # 320 samples that lie inside the overlap of 480
    assert config.total_samples(200) == 47_520 + 50 * 320


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model_type", "dac"),
        ("sampling_rate", 0),
        ("sampling_rate", "32000"),
        ("audio_channels", True),
        ("normalize", 1),
        ("chunk_length_s", -1.0),
        ("overlap", 1.0),
        ("hidden_size", 0),
        ("num_filters", 1 << 40),
        ("num_residual_layers", -1),
        ("upsampling_ratios", []),
        ("upsampling_ratios", [8, 0]),
        ("upsampling_ratios", 640),
        ("norm_type", "layer_norm"),
        ("kernel_size", 7.0),
        ("dilation_growth_rate", None),
        ("use_causal_conv", "no"),
        ("pad_mode", "circular"),
        ("compress", 0),
        ("num_lstm_layers", -2),
        ("trim_right_ratio", 1.5),
        ("trim_right_ratio", float("nan")),
        ("codebook_size", 1),
        ("codebook_dim", 64),
        ("target_bandwidths", [0.1]),
        ("target_bandwidths", []),
    ],
)
def test_bad_value_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(CheckpointError, match=field):
        CodecConfig.from_json({field: value})


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("compress", {"num_filters": 4, "compress": 8}),
        ("trim_right_ratio", {"use_causal_conv": False, "trim_right_ratio": 0.5}),
        ("overlap", {"chunk_length_s": 1.0}),
        ("chunk_length_s", {"chunk_length_s": 1e-9, "overlap": 0.01}),
    ],
)
def test_impossible_combination_is_refused_by_name(field: str, values: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match=field):
        CodecConfig.from_json(values)


@pytest.mark.parametrize("values", [None, [], "encodec"])
def test_config_that_is_no_object_is_refused(values: Any) -> None:
    with pytest.raises(CheckpointError, match="codec config"):
        CodecConfig.from_json(values)
