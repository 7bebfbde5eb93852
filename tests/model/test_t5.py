"""The text encoder is transformers' T5, in names, shapes and numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import T5Config as ReferenceConfig
from transformers import T5EncoderModel

from musicgen_rt.errors import CheckpointError
from musicgen_rt.model.t5 import TIE, T5Config, T5Encoder

SMALL: dict[str, Any] = {
    "vocab_size": 60, "d_model": 24, "d_kv": 6, "d_ff": 40, "num_layers": 3, "num_heads": 4,
}  # fmt: skip


def reference_of(values: dict[str, Any]) -> T5EncoderModel:
    torch.manual_seed(1)
    model = T5EncoderModel(ReferenceConfig(**values)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def encoder_of(values: dict[str, Any], model: T5EncoderModel) -> T5Encoder:
    config = T5Config.from_json(values)
    assert config is not None
    return T5Encoder(config, {k: v.detach() for k, v in model.state_dict().items()})


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"feed_forward_proj": "gated-gelu"},
        {"relative_attention_num_buckets": 12, "relative_attention_max_distance": 20},
        {"layer_norm_epsilon": 0.1, "model_type": "t5"},
    ],
)
@torch.no_grad()
def test_the_hidden_states_are_transformers(more: dict[str, Any]) -> None:
    values = SMALL | more
    model = reference_of({k: v for k, v in values.items() if k != "model_type"})
    encoder = encoder_of(values, model)
    for length in (1, 2, 17, 300):  # the last reaches beyond the farthest bucket
        ids = torch.randint(0, 60, (length,))
        expected = model(input_ids=ids[None]).last_hidden_state[0]
        torch.testing.assert_close(encoder(ids), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("feed_forward", ["relu", "gated-gelu"])
def test_names_shapes_and_ties_are_transformers(feed_forward: str) -> None:
    values = SMALL | {"feed_forward_proj": feed_forward}
    model = reference_of(values)
    config = T5Config.from_json(values)
    assert config is not None
    assert config.shapes() == {k: tuple(v.shape) for k, v in model.state_dict().items()}
    one, other = (model.get_parameter(name) for name in TIE)
    assert one is other


def test_defaults_are_transformers() -> None:
    config, reference = T5Config.from_json({}), ReferenceConfig()
    assert config is not None
    for mine, theirs in (
        (config.vocab_size, reference.vocab_size),
        (config.d_model, reference.d_model),
        (config.d_kv, reference.d_kv),
        (config.d_ff, reference.d_ff),
        (config.num_layers, reference.num_layers),
        (config.num_heads, reference.num_heads),
        (config.num_buckets, reference.relative_attention_num_buckets),
        (config.max_distance, reference.relative_attention_max_distance),
        (config.epsilon, reference.layer_norm_epsilon),
        (config.is_gated, reference.is_gated_act),
    ):
        assert mine == theirs


@pytest.mark.parametrize("values", [{"model_type": "bert"}, {"feed_forward_proj": "gated-silu"}])
def test_other_encoders_are_left_to_transformers(values: dict[str, Any]) -> None:
    assert T5Config.from_json(values) is None


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"num_layers": 10_000}, "num_layers is 10000"),
        ({"d_kv": 0}, "d_kv is 0"),
        ({"d_model": "128"}, "d_model is '128'"),
        ({"relative_attention_max_distance": 8}, "relative_attention_max_distance is 8"),
    ],
)
def test_an_impossible_config_is_refused(values: dict[str, Any], named: str) -> None:
    with pytest.raises(CheckpointError, match=named):
        T5Config.from_json(values)
