"""The name and shape of every tensor that a checkpoint must hold, derived from its config.

Names are those of transformers' `MusicgenForConditionalGeneration` and
`MusicgenMelodyForConditionalGeneration`; those of the frame conditioners are this project's own.
"""

from __future__ import annotations

from collections.abc import Iterator

from musicgen_rt.model.config import FrameConditioningConfig, LMConfig, ModelConfig

Shape = tuple[int, ...]

_LM_PREFIX = "decoder.model.decoder"
# Twelve pitch classes and a rest.
FRAME_CHROMA_ROWS = 13
# Off and on; "free" is the null.
ATTRIBUTE_ROWS = 2


def lm_shapes(config: ModelConfig) -> dict[str, Shape]:
    """The language model with its heads and the projections of its conditions.

    Linear weights are [out, in]. A text checkpoint attends to the text in every layer; a melody
    checkpoint has text and chroma in its prefix and therefore no cross-attention.
    """
    lm = config.lm
    shapes: dict[str, Shape] = {}
    for codebook in range(lm.num_codebooks):
        # One row more than there are codes, for the special token.
        embedding = f"{_LM_PREFIX}.embed_tokens.{codebook}.weight"
        shapes[embedding] = (lm.vocab_size + 1, lm.d_model)
        shapes[f"decoder.lm_heads.{codebook}.weight"] = (lm.vocab_size, lm.d_model)
    for layer in range(lm.num_layers):
        prefix = f"{_LM_PREFIX}.layers.{layer}"
        shapes.update(_layer_shapes(prefix, lm, has_cross_attention=config.kind == "text"))
    shapes.update(_norm_shapes(f"{_LM_PREFIX}.layer_norm", lm.d_model))
    shapes.update(_projection_shapes(config))
    return shapes


def frame_conditioning_shapes(config: FrameConditioningConfig, d_model: int) -> dict[str, Shape]:
    """The tensors of frame_conditioning.safetensors; F clock features, see ClockConfig."""
    return dict(_frame_conditioning_items(config, d_model))


def _layer_shapes(prefix: str, lm: LMConfig, *, has_cross_attention: bool) -> dict[str, Shape]:
    shapes = _attention_shapes(f"{prefix}.self_attn", lm.d_model)
    if has_cross_attention:
        shapes.update(_attention_shapes(f"{prefix}.encoder_attn", lm.d_model))
    shapes[f"{prefix}.fc1.weight"] = (lm.ffn_dim, lm.d_model)
    shapes[f"{prefix}.fc2.weight"] = (lm.d_model, lm.ffn_dim)
    shapes.update(_norm_shapes(f"{prefix}.final_layer_norm", lm.d_model))
    return shapes


def _attention_shapes(prefix: str, d_model: int) -> dict[str, Shape]:
    names = ("q_proj", "k_proj", "v_proj", "out_proj")
    shapes: dict[str, Shape] = {f"{prefix}.{name}.weight": (d_model, d_model) for name in names}
    shapes.update(_norm_shapes(f"{prefix}_layer_norm", d_model))
    return shapes


def _norm_shapes(prefix: str, d_model: int) -> dict[str, Shape]:
    return {f"{prefix}.weight": (d_model,), f"{prefix}.bias": (d_model,)}


def _projection_shapes(config: ModelConfig) -> dict[str, Shape]:
    d_model = config.lm.d_model
    shapes: dict[str, Shape] = {}
    if config.has_text_projection:
        shapes["enc_to_dec_proj.weight"] = (d_model, config.text_d_model)
        shapes["enc_to_dec_proj.bias"] = (d_model,)
    if config.chroma is not None and config.has_chroma_projection:
        shapes["audio_enc_to_dec_proj.weight"] = (d_model, config.chroma.num_chroma)
        shapes["audio_enc_to_dec_proj.bias"] = (d_model,)
    return shapes


def _frame_conditioning_items(
    config: FrameConditioningConfig, d_model: int
) -> Iterator[tuple[str, Shape]]:
    if config.clock is not None:
        yield "clock.weight", (d_model, config.clock.num_features)
        yield "clock.bias", (d_model,)
        yield "clock.null", (d_model,)
    if config.chroma:
        yield "chroma.weight", (FRAME_CHROMA_ROWS, d_model)
        yield "chroma.null", (d_model,)
    for name in config.attributes:
        yield f"attributes.{name}.weight", (ATTRIBUTE_ROWS, d_model)
        yield f"attributes.{name}.null", (d_model,)
