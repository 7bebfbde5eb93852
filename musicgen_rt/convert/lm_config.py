"""From audiocraft's configuration of a language model to the JSON files of our layout.

Sources: audiocraft config/model/lm, config/conditioner, config/solver/magnet and the signatures in
models/lm.py, models/lm_magnet.py and modules/transformer.py, whose defaults count where a field is
absent, as in the first releases. What our model has no equivalent of is refused by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from musicgen_rt.convert.conditioners import Conditioners
from musicgen_rt.convert.magnet_config import magnet_json
from musicgen_rt.convert.xp_config import XpConfig, refuse_unknown, require
from musicgen_rt.errors import CheckpointError
from musicgen_rt.model.codec_config import CodecConfig
from musicgen_rt.model.json_section import JsonSection

# By how much AudioGen moves its window on (audiocraft models/audiogen.py, extend_stride).
_STRIDE_SECONDS = 2.0
_LM, _MAGNET_LM = "transformer_lm", "transformer_lm_magnet"
_ARCHITECTURES = {
    "musicgen": "MusicgenForConditionalGeneration",
    "musicgen_melody": "MusicgenMelodyForConditionalGeneration",
    "magnet": "MagnetForConditionalGeneration",
}
# Field of transformer_lm: audiocraft's default, and the one value that our model has.
_FIXED: Mapping[str, tuple[Any, Any]] = {
    "norm_first": (False, True),
    "norm": ("layer_norm", "layer_norm"),
    "bias_ff": (True, False),
    "bias_attn": (True, False),
    "bias_proj": (True, False),
    "activation": ("relu", "gelu"),
    "past_context": (None, None),
    "layer_scale": (None, None),
    "positional_embedding": ("sin", "sin"),
    "positional_scale": (1.0, 1.0),
    "max_period": (10_000, 10_000),
    "xpos": (False, False),
    "qk_layer_norm": (False, False),
    "qk_layer_norm_cross": (False, False),
    "kv_repeat": (1, 1),
}
# Fields that are read below, or say how to train or compute and not what the model is.
_KNOWN = (
    "dim", "num_heads", "num_layers", "hidden_scale", "n_q", "card", "dropout", "causal",
    "attention_dropout", "emb_lr", "lr", "weight_decay", "custom", "memory_efficient",
    "attention_as_float32", "checkpointing", "weight_init", "depthwise_init", "zero_bias_init",
    "cross_attention", "two_step_cfg", "q_modeling", "subcodes_context", "segment_duration",
    "compression_model_framerate", "span_len",
)  # fmt: skip


@dataclass(frozen=True)
class LMDescription:
    """What the files beside the weights say, without `audio_encoder` and `text_encoder`."""

    conditioners: Conditioners
    config: dict[str, Any]
    generation: dict[str, Any]
    preprocessor: dict[str, Any]


def describe_lm(config: XpConfig, codec: CodecConfig) -> LMDescription:
    """Describe a language model over the codes of `codec`.

    Raises CheckpointError naming the field that our model cannot follow.
    """
    is_magnet = config.top.choice("lm_model", None, (_LM, _MAGNET_LM)) == _MAGNET_LM
    transformer = config.section("transformer_lm")
    _check_transformer(transformer, is_causal=not is_magnet)
    channels = _channels(config)
    rate_hz = config.top.integer("sample_rate", codec.sampling_rate, 1, 384_000)
    if rate_hz != codec.sampling_rate:
        raise config.top.fail("sample_rate", rate_hz, f"{codec.sampling_rate}, as the codec's")
    conditioners = Conditioners.read(config, rate_hz)
    kind = "magnet" if is_magnet else conditioners.kind
    if is_magnet and conditioners.melody is not None:
        raise CheckpointError(f"{config.where}: a MAGNeT with a melody is not known")
    codebooks = _codebooks(config, transformer, codec, channels)
    decoder = _decoder(config, transformer, kind, channels, codebooks)
    seconds = config.section("dataset").number("segment_duration", 30.0, 0.1, 600.0)
    special = decoder["vocab_size"]
    root: dict[str, Any] = {
        "architectures": [_ARCHITECTURES[kind]],
        "model_type": kind,
        "is_encoder_decoder": True,
        "decoder": decoder,
        **conditioners.config_json(rate_hz, seconds),
    }
    if is_magnet:
        root["magnet"] = magnet_json(config, codebooks)
    guidance = config.section("classifier_free_guidance").number("inference_coef", 3.0, 0.0, 100.0)
    if is_magnet:
        guidance = root["magnet"]["max_guidance"]
    generation: dict[str, Any] = {
        "bos_token_id": special,
        "decoder_start_token_id": special,
        "pad_token_id": special,
        "do_sample": True,
        "guidance_scale": guidance,
        "max_length": round(seconds * codec.frame_rate_hz),
    }
    stride_frames = round(_STRIDE_SECONDS * codec.frame_rate_hz)
    if config.top.values.get("solver") == "audiogen" and stride_frames < generation["max_length"]:
        generation["context_length"] = generation["max_length"] - stride_frames
    preprocessor = conditioners.preprocessor_json(rate_hz, seconds, channels)
    return LMDescription(conditioners, root, generation, preprocessor)


def _check_transformer(transformer: JsonSection, *, is_causal: bool) -> None:
    for key, (default, needed) in _FIXED.items():
        require(transformer, key, default, needed)
    require(transformer, "causal", False, is_causal)
    refuse_unknown(transformer, (*_FIXED, *_KNOWN))


def _codebooks(
    config: XpConfig, transformer: JsonSection, codec: CodecConfig, channels: int
) -> int:
    """Codebooks in all channels: the codec's, or as many of them as the file says are used."""
    codebooks = transformer.integer("n_q", 8, 1, 64)
    used, key = codec.num_codebooks, "compression_model_n_q"
    if config.top.values.get(key) is not None:
        used = config.top.integer(key, None, 1, codec.num_codebooks)
    if codebooks != used * channels:
        expected = f"{used * channels}, the codec's in all channels ({key} says how many are used)"
        raise transformer.fail("n_q", codebooks, expected)
    return codebooks


def _decoder(
    config: XpConfig, transformer: JsonSection, kind: str, channels: int, codebooks: int
) -> dict[str, Any]:
    width = transformer.integer("dim", 128, 4, 1 << 15)
    card = transformer.integer("card", 1024, 2, 1 << 16)
    dropout = transformer.number("dropout", 0.1, 0.0, 1.0)
    attention_dropout = transformer.values.get("attention_dropout")
    decoder = {
        "model_type": f"{kind}_decoder",
        "vocab_size": card,
        "pad_token_id": card,
        "bos_token_id": card,
        "num_codebooks": codebooks,
        "audio_channels": channels,
        "hidden_size": width,
        "num_hidden_layers": transformer.integer("num_layers", None, 1, 512),
        "num_attention_heads": transformer.integer("num_heads", 8, 1, 512),
        "ffn_dim": int(transformer.number("hidden_scale", 4, 0.01, 64) * width),
        "activation_function": "gelu",
        "scale_embedding": False,
        "max_position_embeddings": 2048,
        "dropout": dropout,
        "activation_dropout": dropout,
        "attention_dropout": dropout if attention_dropout is None else attention_dropout,
    }
    delays = _delays(config, transformer, codebooks)
    if delays != [index // channels for index in range(codebooks)]:
        decoder["codebook_delays"] = delays
    return decoder


def _channels(config: XpConfig) -> int:
    """1, or 2 where the codes of two channels are interleaved."""
    stereo = config.section("interleave_stereo_codebooks")
    is_stereo = stereo.boolean("use", False)
    if is_stereo:
        require(stereo, "per_timestep", False, False)
    channels = config.top.integer("channels", 2 if is_stereo else 1, 1, 2)
    if channels != 1 + is_stereo:
        raise config.top.fail(
            "channels", channels, "2 with interleave_stereo_codebooks.use and 1 without"
        )
    return channels


def _delays(config: XpConfig, transformer: JsonSection, codebooks: int) -> list[int]:
    """Frames by which each codebook is late."""
    pattern = config.section("codebooks_pattern")
    name = pattern.values.get("modeling") or transformer.values.get("q_modeling")
    if name == "parallel":
        return [0] * codebooks
    if name != "delay":
        raise pattern.fail("modeling", name, "'delay' or 'parallel'")
    fields = config.section("codebooks_pattern.delay")
    require(fields, "flatten_first", 0, 0)
    require(fields, "empty_initial", 0, 0)
    delays = fields.values.get("delays")
    if delays is None:
        return list(range(codebooks))
    expected = f"{codebooks} whole numbers from 0 up, none below the one before it"
    is_list = isinstance(delays, list) and len(delays) == codebooks
    if not is_list or not all(isinstance(delay, int) and delay >= 0 for delay in delays):
        raise fields.fail("delays", delays, expected)
    if delays != sorted(delays):
        raise fields.fail("delays", delays, expected)
    return list(delays)
