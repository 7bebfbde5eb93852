"""Where each tensor of our layout lies in an audiocraft language model's state.

Source: audiocraft models/lm.py and modules/transformer.py; transformers'
`MusicgenForConditionalGeneration` for the names here. Attention is stored there as one matrix of
query, key and value rows, and as three matrices here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from musicgen_rt.convert.conditioners import Conditioners

_DECODER = "decoder.model.decoder"
_THIRDS = ("q_proj", "k_proj", "v_proj")
_NORMS = {
    "norm1": "self_attn_layer_norm",
    "norm_cross": "encoder_attn_layer_norm",
    "norm2": "final_layer_norm",
}
_ATTENTIONS = {"self_attn": "self_attn", "cross_attention": "encoder_attn"}
_LINEARS = {"linear1": "fc1", "linear2": "fc2"}
# Buffers that follow from the configuration.
_DERIVED = ("chroma.spec.window", "chroma.fbanks")


@dataclass(frozen=True)
class Part:
    """A tensor of a state, or the `third` of its rows (0, 1, 2)."""

    name: str
    third: int | None = None


def lm_parts(
    num_layers: int, codebooks: int, conditioners: Conditioners, stored: frozenset[str]
) -> dict[str, Part]:
    """Our name of each tensor to where it is stored, for all that a checkpoint can have.

    `stored` decides between the spellings of attention with and without its `mha` level.
    """
    parts: dict[str, Part] = {}
    for index in range(codebooks):
        parts[f"{_DECODER}.embed_tokens.{index}.weight"] = Part(f"emb.{index}.weight")
        parts[f"decoder.lm_heads.{index}.weight"] = Part(f"linears.{index}.weight")
    for layer in range(num_layers):
        parts.update(_layer_parts(layer, stored))
    for kind in ("weight", "bias"):
        parts[f"{_DECODER}.layer_norm.{kind}"] = Part(f"out_norm.{kind}")
        parts[f"enc_to_dec_proj.{kind}"] = Part(f"{conditioners.text_prefix}.output_proj.{kind}")
        if conditioners.melody_prefix is not None:
            melody = f"{conditioners.melody_prefix}.output_proj.{kind}"
            parts[f"audio_enc_to_dec_proj.{kind}"] = Part(melody)
    return parts


def is_derived(name: str, conditioners: Conditioners) -> bool:
    """Whether a stored tensor says nothing that the configuration does not say."""
    prefix = conditioners.melody_prefix
    return prefix is not None and name in [f"{prefix}.{buffer}" for buffer in _DERIVED]


def _layer_parts(layer: int, stored: frozenset[str]) -> Iterator[tuple[str, Part]]:
    there, here = f"transformer.layers.{layer}", f"{_DECODER}.layers.{layer}"
    for old, new in _ATTENTIONS.items():
        attention = f"{there}.{old}"
        if f"{attention}.mha.in_proj_weight" in stored:
            attention += ".mha"
        for third, name in enumerate(_THIRDS):
            yield f"{here}.{new}.{name}.weight", Part(f"{attention}.in_proj_weight", third)
        yield f"{here}.{new}.out_proj.weight", Part(f"{attention}.out_proj.weight")
    for old, new in _LINEARS.items():
        yield f"{here}.{new}.weight", Part(f"{there}.{old}.weight")
    for old, new in _NORMS.items():
        for kind in ("weight", "bias"):
            yield f"{here}.{new}.{kind}", Part(f"{there}.{old}.{kind}")
