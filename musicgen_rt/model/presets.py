"""The JSON files of the official MusicGen checkpoints, by hub id, and of their tiny likenesses.

Sizes are those of the published checkpoints (MusicGen, arXiv 2306.05284, section 4 and the
configs of facebook/musicgen-*): t5-base for text, EnCodec at 32 kHz and 50 frames a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from musicgen_rt.errors import ParameterError
from musicgen_rt.model.config import ClockConfig, FrameConditioningConfig
from musicgen_rt.model.hub import KNOWN_IDS

DTYPES: Mapping[str, str] = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
FRAME_CONDITIONING = FrameConditioningConfig(
    clock=ClockConfig(), chroma=True, attributes=("drums", "bass", "lead")
)

_SAMPLING_RATE_HZ = 32_000
_FRAME_RATE_HZ = 50
_CODEBOOKS_PER_CHANNEL = 4


@dataclass(frozen=True)
class _Sizes:
    d_model: int
    num_layers: int
    num_heads: int
    vocab_size: int = 2048


_SIZES = {
    "small": _Sizes(1024, 24, 16),
    "medium": _Sizes(1536, 48, 24),
    "large": _Sizes(2048, 48, 32),
}
_TINY = _Sizes(64, 2, 4, vocab_size=64)
_T5_BASE = {"d_model": 768, "d_kv": 64, "d_ff": 3072, "num_layers": 12, "num_heads": 12}
# ByT5's bytes and special tokens need 384 rows.
_T5_TINY = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}


@dataclass(frozen=True)
class Preset:
    """Which checkpoint to imitate; the properties give the content of its JSON files."""

    kind: str
    stereo: bool
    sizes: _Sizes
    tiny: bool

    @classmethod
    def like(cls, hub_id: str, *, tiny: bool) -> Preset:
        """Raises ParameterError naming the known ids."""
        if hub_id not in KNOWN_IDS:
            raise ParameterError(f"--like {hub_id!r}: expected one of {', '.join(KNOWN_IDS)}")
        words = hub_id.removeprefix("facebook/musicgen-").split("-")
        size = next((word for word in words if word in _SIZES), "medium")
        return cls(
            kind="musicgen_melody" if "melody" in words else "musicgen",
            stereo="stereo" in words,
            sizes=_TINY if tiny else _SIZES[size],
            tiny=tiny,
        )

    @property
    def channels(self) -> int:
        return 2 if self.stereo else 1

    def config(self, *, dtype: str, frame_conditioning: bool) -> dict[str, Any]:
        """config.json. `dtype` is a key of DTYPES."""
        is_melody = self.kind == "musicgen_melody"
        config: dict[str, Any] = {
            "architectures": [
                "MusicgenMelodyForConditionalGeneration"
                if is_melody
                else "MusicgenForConditionalGeneration"
            ],
            "model_type": self.kind,
            "is_encoder_decoder": True,
            "dtype": DTYPES[dtype],
            "text_encoder": self._text_encoder(),
            "audio_encoder": self._codec(),
            "decoder": self._decoder(),
        }
        if is_melody:
            config |= {"num_chroma": 12, "chroma_length": 235}
        if frame_conditioning:
            config["frame_conditioning"] = FRAME_CONDITIONING.to_json()
        return config

    def generation_config(self) -> dict[str, Any]:
        """generation_config.json: 30 s, sampled, with guidance."""
        special = self.sizes.vocab_size
        return {
            "bos_token_id": special,
            "decoder_start_token_id": special,
            "pad_token_id": special,
            "do_sample": True,
            "guidance_scale": 3.0,
            "max_length": 1500,
        }

    def preprocessor_config(self) -> dict[str, Any]:
        """preprocessor_config.json: chroma for a melody checkpoint, else plain audio."""
        if self.kind == "musicgen_melody":
            return {
                "feature_extractor_type": "MusicgenMelodyFeatureExtractor",
                "processor_class": "MusicgenMelodyProcessor",
                "feature_size": 12,
                "num_chroma": 12,
                "sampling_rate": _SAMPLING_RATE_HZ,
                "n_fft": 16384,
                "hop_length": 4096,
                "chunk_length": 30,
                "padding_side": "left",
                "padding_value": 0.0,
                "return_attention_mask": True,
                "stem_indices": [3, 2],
            }
        return {
            "feature_extractor_type": "EncodecFeatureExtractor",
            "processor_class": "MusicgenProcessor",
            "feature_size": self.channels,
            "sampling_rate": _SAMPLING_RATE_HZ,
            "padding_side": "left",
            "padding_value": 0.0,
            "return_attention_mask": True,
        }

    def _decoder(self) -> dict[str, Any]:
        sizes = self.sizes
        return {
            "model_type": f"{self.kind}_decoder",
            "vocab_size": sizes.vocab_size,
            "pad_token_id": sizes.vocab_size,
            "bos_token_id": sizes.vocab_size,
            "num_codebooks": _CODEBOOKS_PER_CHANNEL * self.channels,
            "audio_channels": self.channels,
            "hidden_size": sizes.d_model,
            "num_hidden_layers": sizes.num_layers,
            "num_attention_heads": sizes.num_heads,
            "ffn_dim": 4 * sizes.d_model,
            "max_position_embeddings": 2048,
            "activation_function": "gelu",
            "scale_embedding": False,
        }

    def _codec(self) -> dict[str, Any]:
        bits = (self.sizes.vocab_size - 1).bit_length()
        return {
            "model_type": "encodec",
            "sampling_rate": _SAMPLING_RATE_HZ,
            "audio_channels": 1,
            "upsampling_ratios": [8, 5, 4, 4],
            "num_filters": 4 if self.tiny else 64,
            "hidden_size": 16 if self.tiny else 128,
            "codebook_size": self.sizes.vocab_size,
            "codebook_dim": 16 if self.tiny else 128,
            # In kbit/s; transformers derives the number of codebooks from it.
            "target_bandwidths": [_CODEBOOKS_PER_CHANNEL * bits * _FRAME_RATE_HZ / 1000],
            "use_causal_conv": False,
            "use_conv_shortcut": False,
            "normalize": False,
            "norm_type": "weight_norm",
            "pad_mode": "reflect",
            "num_lstm_layers": 2,
            "num_residual_layers": 1,
        }

    def _text_encoder(self) -> dict[str, Any]:
        sizes = _T5_TINY if self.tiny else _T5_BASE
        vocab_size = 384 if self.tiny else 32128
        return {"model_type": "t5", **sizes, "vocab_size": vocab_size, "feed_forward_proj": "relu"}
