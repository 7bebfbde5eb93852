"""From audiocraft's configuration of an EnCodec to that of transformers.

Sources: audiocraft config/model/encodec/default.yaml and models/builders.py for what a field means,
transformers' EncodecConfig for its name there.
"""

from __future__ import annotations

import math
from typing import Any

from musicgen_rt.convert.xp_config import XpConfig, refuse_unknown, require
from musicgen_rt.model.json_section import JsonSection

_NORMS = {"weight_norm": "weight_norm", "time_group_norm": "time_group_norm"}
# Kept apart by audiocraft for encoder and decoder; EncodecConfig has one value for both.
_OWN_TO_DECODER = ("trim_right_ratio", "final_activation", "final_activation_params")
_KNOWN = (
    "dimension", "channels", "causal", "n_filters", "n_residual_layers", "ratios", "activation",
    "activation_params", "norm", "kernel_size", "residual_kernel_size", "last_kernel_size",
    "dilation_base", "pad_mode", "true_skip", "compress", "lstm", "disable_norm_outer_blocks",
    "encoder", "decoder",
)  # fmt: skip


def codec_json(config: XpConfig) -> dict[str, Any]:
    """`audio_encoder` of config.json. Raises CheckpointError naming a field that cannot be kept.

    The values are checked in full by `CodecConfig.from_json`, as any checkpoint's are.
    """
    require(config.top, "compression_model", None, "encodec")
    encodec, seanet = config.section("encodec"), config.section("seanet")
    require(encodec, "autoencoder", None, "seanet")
    require(encodec, "quantizer", None, "rvq")
    # With it each piece of audio has a scale beside its codes, which no language model makes.
    require(encodec, "renormalize", False, False)
    _require_one_shape(config, seanet)
    ratios = seanet.values.get("ratios")
    if not isinstance(ratios, list) or not all(isinstance(ratio, int) for ratio in ratios):
        raise seanet.fail("ratios", ratios, "a list of whole numbers")
    rate_hz = encodec.integer("sample_rate", None, 1, 384_000)
    rvq = config.section("rvq")
    codebooks = rvq.integer("n_q", 8, 1, 64)
    bins = rvq.integer("bins", 1024, 2, 1 << 16)
    dimension = seanet.integer("dimension", 128, 1, 1 << 16)
    return {
        "model_type": "encodec",
        "sampling_rate": rate_hz,
        "audio_channels": encodec.integer("channels", None, 1, 64),
        "normalize": False,
        "chunk_length_s": None,
        "overlap": None,
        "target_bandwidths": [_bandwidth(rate_hz, ratios, codebooks, bins)],
        "upsampling_ratios": ratios,
        "hidden_size": dimension,
        "codebook_dim": _codebook_dim(rvq, dimension),
        "codebook_size": bins,
        "num_filters": seanet.integer("n_filters", 32, 1, 1 << 16),
        "num_residual_layers": seanet.integer("n_residual_layers", 1, 0, 64),
        "num_lstm_layers": seanet.integer("lstm", 2, 0, 64),
        "kernel_size": seanet.integer("kernel_size", 7, 1, 1024),
        "last_kernel_size": seanet.integer("last_kernel_size", 7, 1, 1024),
        "residual_kernel_size": seanet.integer("residual_kernel_size", 3, 1, 1024),
        "dilation_growth_rate": seanet.integer("dilation_base", 2, 1, 64),
        "compress": seanet.integer("compress", 2, 1, 1 << 16),
        "norm_type": _NORMS[seanet.choice("norm", "none", tuple(_NORMS))],
        "pad_mode": seanet.choice("pad_mode", "reflect", ("reflect", "replicate", "constant")),
        "use_causal_conv": seanet.boolean("causal", False),
        # audiocraft's true_skip is a shortcut without a convolution.
        "use_conv_shortcut": not seanet.boolean("true_skip", True),
        "trim_right_ratio": config.section("seanet.decoder").number("trim_right_ratio", 1.0, 0, 1),
    }


def _bandwidth(rate_hz: int, ratios: list[int], codebooks: int, bins: int) -> float:
    """kbit/s of all codebooks, from which transformers derives their number."""
    frames_a_second = math.ceil(rate_hz / math.prod(ratios))
    return codebooks * frames_a_second * math.ceil(math.log2(bins)) / 1000


def _codebook_dim(rvq: JsonSection, dimension: int) -> int:
    require(rvq, "codebook_dim", None, None)
    return dimension


def _require_one_shape(config: XpConfig, seanet: JsonSection) -> None:
    """Refuse what EncodecConfig cannot say."""
    refuse_unknown(seanet, _KNOWN)
    channels = config.section("encodec").values.get("channels")
    require(seanet, "channels", channels, channels)
    require(seanet, "activation", "ELU", "ELU")
    if (seanet.values.get("activation_params") or {"alpha": 1.0}) != {"alpha": 1.0}:
        raise seanet.fail("activation_params", seanet.values["activation_params"], "alpha 1")
    require(seanet, "disable_norm_outer_blocks", 0, 0)
    for half in ("encoder", "decoder"):
        own = config.section(f"seanet.{half}")
        allowed = _OWN_TO_DECODER if half == "decoder" else ()
        for key, value in own.values.items():
            if key not in allowed:
                raise own.fail(key, value, "the encoder and the decoder to be alike in it")
    require(config.section("seanet.decoder"), "final_activation", None, None)
