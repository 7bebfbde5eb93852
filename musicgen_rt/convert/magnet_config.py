"""The part of a MAGNeT's configuration that decoding needs.

Sources: audiocraft models/lm_magnet.py and config/solver/magnet; Ziv et al., "Masked Audio
Generation using a Single Non-Autoregressive Transformer", 2024, section 3.
"""

from __future__ import annotations

from typing import Any

from musicgen_rt.convert.xp_config import XpConfig
from musicgen_rt.model.magnet_config import MagnetConfig


def magnet_json(config: XpConfig, codebooks: int) -> dict[str, Any]:
    """`magnet` of config.json; absent values are those of audiocraft's signatures.

    Raises CheckpointError naming the field.
    """
    sampling = config.section("generate.lm")
    steps = sampling.values.get("decoding_steps")
    if steps is None:
        steps = MagnetConfig.default_steps(codebooks)
    if not isinstance(steps, list) or len(steps) != codebooks:
        raise sampling.fail("decoding_steps", steps, f"{codebooks} whole numbers, one a codebook")
    context = config.section("transformer_lm").integer("subcodes_context", 5, -1, 1 << 16)
    masking = config.section("masking")
    return {
        "span_frames": masking.integer("span_len", MagnetConfig.span_frames, 1, 256),
        # -1 is audiocraft's word for no limit.
        "context_frames": None if context < 0 else context,
        "decoding_steps": steps,
        "temperature": sampling.number("temp", MagnetConfig.temperature, 0.0, 10.0),
        "top_k": sampling.integer("top_k", MagnetConfig.top_k, 0, 1 << 16),
        "top_p": sampling.number("top_p", MagnetConfig.top_p, 0.0, 1.0),
        "max_guidance": sampling.number("max_cfg_coef", MagnetConfig.max_guidance, 0.0, 30.0),
        "min_guidance": sampling.number("min_cfg_coef", MagnetConfig.min_guidance, 0.0, 30.0),
    }
