"""T5's encoder alone (Raffel et al. 2020; the gated one of T5 1.1, Shazeer 2020).

The text encoder of all official checkpoints is one. Importing transformers' takes longer than all
else at the start of a performance together, and what it does fits on this page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from musicgen_rt.errors import CheckpointError
from musicgen_rt.model.json_section import JsonSection

# The feed-forward layers that T5 and T5 1.1 have; whether they are gated.
_IS_GATED = {"relu": False, "gated-gelu": True}
_LARGEST = 1 << 20
_MAX_LAYERS = 512
# Stored under two names, as in transformers.
TIE = ("shared.weight", "encoder.embed_tokens.weight")
_BIAS = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"


@dataclass(frozen=True)
class T5Config:
    """The encoder's shapes; names are those of transformers' config.json."""

    vocab_size: int
    d_model: int
    d_kv: int
    d_ff: int
    num_layers: int
    num_heads: int
    num_buckets: int
    max_distance: int
    epsilon: float
    is_gated: bool

    @classmethod
    def from_json(cls, text_encoder_json: Mapping[str, Any]) -> T5Config | None:
        """The config of a T5, None for that of another encoder. Raises CheckpointError."""
        fields = JsonSection.of("config.json: text_encoder", text_encoder_json)
        feed_forward = text_encoder_json.get("feed_forward_proj", "relu")
        if text_encoder_json.get("model_type", "t5") != "t5" or feed_forward not in _IS_GATED:
            return None
        config = cls(
            fields.integer("vocab_size", 32128, 1, _LARGEST),
            fields.integer("d_model", 512, 1, _LARGEST),
            fields.integer("d_kv", 64, 1, _LARGEST),
            fields.integer("d_ff", 2048, 1, _LARGEST),
            fields.integer("num_layers", 6, 1, _MAX_LAYERS),
            fields.integer("num_heads", 8, 1, _LARGEST),
            fields.integer("relative_attention_num_buckets", 32, 4, _LARGEST),
            fields.integer("relative_attention_max_distance", 128, 2, _LARGEST),
            fields.number("layer_norm_epsilon", 1e-6, 0, 1),
            _IS_GATED[feed_forward],
        )
        if config.max_distance <= config.num_buckets // 4:
            raise CheckpointError(
                "config.json: text_encoder: relative_attention_max_distance is "
                f"{config.max_distance}, expected more than a quarter of "
                f"relative_attention_num_buckets, {config.num_buckets}"
            )
        return config

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Tensor names and shapes, in transformers' order."""
        d_attention = self.num_heads * self.d_kv
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(TIE, (self.vocab_size, self.d_model))
        for index in range(self.num_layers):
            attention, feed_forward = (f"encoder.block.{index}.layer.{n}." for n in (0, 1))
            for name in "qkv":
                shapes[f"{attention}SelfAttention.{name}.weight"] = (d_attention, self.d_model)
            shapes[f"{attention}SelfAttention.o.weight"] = (self.d_model, d_attention)
            if index == 0:
                shapes[_BIAS] = (self.num_buckets, self.num_heads)
            shapes[f"{attention}layer_norm.weight"] = (self.d_model,)
            for name in ("wi_0", "wi_1") if self.is_gated else ("wi",):
                shapes[f"{feed_forward}DenseReluDense.{name}.weight"] = (self.d_ff, self.d_model)
            shapes[f"{feed_forward}DenseReluDense.wo.weight"] = (self.d_model, self.d_ff)
            shapes[f"{feed_forward}layer_norm.weight"] = (self.d_model,)
        return {**shapes, "encoder.final_layer_norm.weight": (self.d_model,)}


class T5Encoder:
    """Tokens to hidden states with given float32 weights, named as in `T5Config.shapes`. Frozen."""

    def __init__(self, config: T5Config, weights: Mapping[str, Tensor]) -> None:
        self.config = config
        self._weights = weights

    @property
    def vocab_size(self) -> int:
        return self.config.vocab_size

    @torch.no_grad()
    def __call__(self, ids: Tensor) -> Tensor:
        """Tokens [S] int64 -> the last hidden states [S, D]."""
        hidden = self._weights[TIE[0]][ids]
        bias = self._position_bias(len(ids))
        for index in range(self.config.num_layers):
            prefix = f"encoder.block.{index}.layer."
            hidden = hidden + self._attention(f"{prefix}0.", hidden, bias)
            hidden = hidden + self._feed_forward(f"{prefix}1.", hidden)
        return self._normed("encoder.final_layer_norm", hidden)

    def _attention(self, prefix: str, hidden: Tensor, bias: Tensor) -> Tensor:
        normed = self._normed(f"{prefix}layer_norm", hidden)
        heads = (-1, self.config.num_heads, self.config.d_kv)
        query, key, value = (
            self._linear(f"{prefix}SelfAttention.{name}", normed).view(heads).transpose(0, 1)
            for name in "qkv"
        )  # [H, S, d_kv] each; T5 does not scale the product
        mixed = (query @ key.transpose(1, 2) + bias).softmax(-1) @ value
        return self._linear(f"{prefix}SelfAttention.o", mixed.transpose(0, 1).flatten(1))

    def _feed_forward(self, prefix: str, hidden: Tensor) -> Tensor:
        normed = self._normed(f"{prefix}layer_norm", hidden)
        prefix += "DenseReluDense."
        if self.config.is_gated:
            gate = functional.gelu(self._linear(f"{prefix}wi_0", normed), approximate="tanh")
            inner = gate * self._linear(f"{prefix}wi_1", normed)
        else:
            inner = self._linear(f"{prefix}wi", normed).relu()
        return self._linear(f"{prefix}wo", inner)

    def _linear(self, name: str, hidden: Tensor) -> Tensor:
        return functional.linear(hidden, self._weights[f"{name}.weight"])

    def _normed(self, name: str, hidden: Tensor) -> Tensor:
        """RMS norm: no mean is taken off, nothing is added."""
        power = hidden.square().mean(-1, keepdim=True)
        return self._weights[f"{name}.weight"] * hidden * torch.rsqrt(power + self.config.epsilon)

    def _position_bias(self, length: int) -> Tensor:
        """What each head adds for how far apart two tokens are: [H, S, S].

        Half of the buckets are for tokens ahead. Of the others the first half holds one distance
        each, the rest grows as the logarithm up to `max_distance`.
        """
        position = torch.arange(length)
        ahead = position[None, :] - position[:, None]
        buckets = self.config.num_buckets // 2
        exact = buckets // 2
        distance = ahead.abs()
        part = torch.log(distance.clamp(min=1) / exact) / math.log(self.config.max_distance / exact)
        far = (exact + (part * (buckets - exact)).long()).clamp(max=buckets - 1)
        bucket = torch.where(distance < exact, distance, far) + buckets * (ahead > 0)
        return self._weights[_BIAS][bucket].permute(2, 0, 1)
