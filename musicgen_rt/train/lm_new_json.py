"""The JSON files of a new model, field by field as transformers has them."""

from __future__ import annotations

from typing import Any

from musicgen_rt.model.codec_config import CodecConfig
from musicgen_rt.model.config import ModelConfig
from musicgen_rt.train.lm_config import LMTrainConfig, TextShape

# ByT5's bytes and special tokens need 384 rows.
_BYTE_VOCAB = 384
# A checkpoint's positions when nothing else is asked for; windows may be shorter.
_DEFAULT_POSITIONS = 2048


def decoder_json(config: LMTrainConfig, codec: CodecConfig) -> dict[str, Any]:
    """The decoder's part of config.json."""
    shape, special = config.shape, codec.codebook_size
    positions = config.max_positions or max(_DEFAULT_POSITIONS, config.batch.window_frames)
    return {
        "model_type": "musicgen_decoder",
        "vocab_size": codec.codebook_size,
        "pad_token_id": special,
        "bos_token_id": special,
        "num_codebooks": codec.num_codebooks,
        "audio_channels": 1,
        "hidden_size": shape.d_model,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "ffn_dim": shape.ffn_dim,
        "max_position_embeddings": positions,
        "activation_function": "gelu",
        "scale_embedding": False,
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "activation_dropout": 0.0,
    }


def text_json(shape: TextShape) -> dict[str, Any]:
    """The T5 encoder's part of config.json."""
    return {
        "model_type": "t5",
        "vocab_size": _BYTE_VOCAB,
        "d_model": shape.d_model,
        "d_kv": shape.head_dim,
        "d_ff": shape.ffn_dim,
        "num_layers": shape.layers,
        "num_heads": shape.heads,
        "dropout_rate": shape.dropout,
        "feed_forward_proj": "relu",
    }


def generation_json(config: ModelConfig) -> dict[str, Any]:
    """generation_config.json."""
    special = config.lm.pad_token
    return {
        "bos_token_id": special,
        "decoder_start_token_id": special,
        "pad_token_id": special,
        "do_sample": True,
        "guidance_scale": 3.0,
        "max_length": config.window_frames,
    }


def preprocessor_json(config: ModelConfig) -> dict[str, Any]:
    """preprocessor_config.json."""
    return {
        "feature_extractor_type": "EncodecFeatureExtractor",
        "processor_class": "MusicgenProcessor",
        "feature_size": config.channels,
        "sampling_rate": config.sampling_rate_hz,
        "padding_side": "left",
        "padding_value": 0.0,
        "return_attention_mask": True,
    }
