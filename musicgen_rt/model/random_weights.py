"""Random weights that behave like a model's: each tensor from its name, shape and a seed.

Variances are kept near one from layer to layer, so that logits depend on the whole context and on
the prompt, are spread over several units (an arg-max does not hinge on rounding), and the codec's
noise has the level of music. The values depend on nothing but (seed, name, shape).
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import torch

from musicgen_rt.errors import UnsupportedError
from musicgen_rt.model.config import ModelConfig
from musicgen_rt.model.expected_shapes import Shape

_LOGIT_STD = 4.0
# Attention scores of this spread make each head look at a few frames, not at all alike.
_SCORE_STD = 2.0
# What all the layers together add to the variance of the embeddings.
_RESIDUAL_VARIANCE = 3.0
# Second moment of ELU of a unit normal: what a convolution must make up for.
_ELU_GAIN = 1 / math.sqrt(0.645)
_CODEBOOK_DECAY = 0.7
_CONV_DIRECTION = ".parametrizations.weight.original1"


@dataclass(frozen=True)
class _Context:
    config: ModelConfig
    shape: Shape
    match: re.Match[str]

    @property
    def fan_in(self) -> int:
        return math.prod(self.shape[1:])

    @property
    def residual_std(self) -> float:
        """For the last linear of a branch: its share of the variance that all layers add."""
        share = _RESIDUAL_VARIANCE / self.config.lm.num_layers
        return math.sqrt(share / self.fan_in)


_Rule = Callable[[_Context], tuple[float, float]]  # -> mean, standard deviation


def _constant(mean: float, std: float) -> _Rule:
    return lambda context: (mean, std)


def _linear(gain: float) -> _Rule:
    return lambda context: (0.0, gain / math.sqrt(context.fan_in))


def _conv_norm(context: _Context) -> tuple[float, float]:
    """The length of each row of a convolution's weights (weight norm's g)."""
    ratios = context.config.codec_json["upsampling_ratios"]
    part, layer, block = (context.match[key] for key in ("part", "layer", "block"))
    if block is not None:
        return (_ELU_GAIN if block == "1" else 0.6), 0.02
    if part == "encoder":
        return (5.0 if layer == "0" else _ELU_GAIN), 0.02  # audio comes in quietly
    if layer == "0":
        return 0.75, 0.02
    if int(layer) == _last_codec_layer(context.config):
        return 0.08, 0.0  # and goes out at the level of music
    # Of a transposed convolution's 2 x ratio taps two meet in each sample; half the channels stay.
    return _ELU_GAIN * math.sqrt(ratios[int(layer) // 3 - 1] / 2), 0.02


_RULES: tuple[tuple[str, _Rule], ...] = (
    # language model
    (r"embed_tokens\.\d+\.weight", lambda c: (0.0, c.config.lm.num_codebooks**-0.5)),
    (r"lm_heads\.\d+\.weight", _linear(_LOGIT_STD)),
    (r"_attn\.[qk]_proj\.weight", _linear(math.sqrt(_SCORE_STD))),
    (r"(_attn\.v_proj|fc1)\.weight", _linear(1.0)),
    (r"(_attn\.out_proj|fc2)\.weight", lambda c: (0.0, c.residual_std)),
    (r"audio_enc_to_dec_proj\.weight", _constant(0.0, 1.0)),  # its input is one-hot
    (r"enc_to_dec_proj\.weight", _linear(1.0)),
    # text encoder (T5 does not scale its scores: the query's weights do)
    (r"text_encoder\.shared\.weight", _constant(0.0, 1.0)),
    (r"SelfAttention\.q\.weight", lambda c: (0.0, (c.shape[1] * _t5_head_dim(c)) ** -0.5)),
    (r"SelfAttention\.[kvo]\.weight", _linear(1.0)),
    (r"relative_attention_bias\.weight", _constant(0.0, 0.5)),
    (r"DenseReluDense\.w[io]\.weight", _linear(1.0)),
    # codec
    (
        (
            r"(?P<part>encoder|decoder)\.layers\.(?P<layer>\d+)\.(block\.(?P<block>\d+)\.)?conv"
            r"\.parametrizations\.weight\.original0"
        ),
        _conv_norm,
    ),
    (r"\.original1", _constant(0.0, 1.0)),
    (r"lstm\.weight_\w+", _linear(1.5)),
    (r"codebook\.(inited|cluster_size)", _constant(1.0, 0.0)),
    (
        r"layers\.(?P<level>\d+)\.codebook\.embed(_avg)?",
        lambda c: (0.0, _CODEBOOK_DECAY ** int(c.match["level"])),
    ),
    # frame conditioners
    (r"clock\.weight", _constant(0.0, 0.1)),
    (r"(chroma|attributes\.\w+)\.weight", _constant(0.0, 0.5)),
    (r"(clock|chroma|attributes\.\w+)\.null", _constant(0.0, 0.3)),
    # all of them
    (r"layer_norm\.weight", _constant(1.0, 0.1)),
    (r"conv\.bias", _constant(0.0, 0.005)),
    (r"(\.bias|lstm\.bias_\w+)", _constant(0.0, 0.1)),
)
_COMPILED = tuple((re.compile(rf"(?:^|.*){pattern}"), rule) for pattern, rule in _RULES)


def random_tensor(name: str, shape: Shape, config: ModelConfig, seed: int) -> torch.Tensor:
    """Return the fp32 tensor of this name and shape. Raises UnsupportedError for a foreign name."""
    for pattern, rule in _COMPILED:
        match = pattern.fullmatch(name)
        if match is not None:
            mean, std = rule(_Context(config, shape, match))
            values = torch.randn(shape, generator=_generator(name, seed))
            if name.endswith(_CONV_DIRECTION):
                values -= values.mean(_summed_dims(name, config), keepdim=True)
            return values.mul_(std).add_(mean)
    raise UnsupportedError(f"tensor {name}: there is no rule for random weights of this name")


def _summed_dims(name: str, config: ModelConfig) -> tuple[int, ...]:
    """What a convolution sums over: [out, in, taps], transposed [in, out, taps].

    With weights centred over it the mean that ELU gives to its output does not grow into an offset
    from layer to layer, which would leave little sound beside it.
    """
    last = _last_codec_layer(config)
    is_plain = re.search(rf"encoder\.layers|block|layers\.(0|{last})\.conv", name) is not None
    return (1, 2) if is_plain else (0,)


def _last_codec_layer(config: ModelConfig) -> int:
    """Each ratio has three layers (activation, resampling, residual block); two come before."""
    return 3 * len(config.codec_json["upsampling_ratios"]) + 3


def _generator(name: str, seed: int) -> torch.Generator:
    # A codebook and its running mean are equal in a trained codec.
    key = f"{seed}:{name.removesuffix('_avg')}".encode()
    return torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(key).digest()[:7], "little"))


def _t5_head_dim(context: _Context) -> int:
    return int(context.config.text_encoder_json["d_kv"])
