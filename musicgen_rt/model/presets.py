"""The JSON files of the official checkpoints, by hub id, and of their tiny likenesses.

Sizes are those of the published checkpoints (MusicGen, arXiv 2306.05284, section 4 and the
configs of facebook/musicgen-*): t5-base for text, EnCodec at 32 kHz and 50 frames a second.
AudioGen and the MAGNeTs, which `musicgen-rt convert` makes, are as audiocraft's config/solver has
them: those for sounds have t5-large and EnCodec at 16 kHz.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from musicgen_rt.errors import ParameterError
from musicgen_rt.model.config import ClockConfig, FrameConditioningConfig
from musicgen_rt.model.hub import KNOWN_IDS
from musicgen_rt.model.magnet_config import MagnetConfig

DTYPES: Mapping[str, str] = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
FRAME_CONDITIONING = FrameConditioningConfig(
    clock=ClockConfig(), chroma=True, attributes=("drums", "bass", "lead")
)

# Published in audiocraft's own format only.
CONVERTED_IDS = (
    "facebook/audiogen-medium",
    "facebook/magnet-small-10secs",
    "facebook/magnet-medium-10secs",
    "facebook/magnet-small-30secs",
    "facebook/magnet-medium-30secs",
    "facebook/audio-magnet-small",
    "facebook/audio-magnet-medium",
)

_FRAME_RATE_HZ = 50
# AudioGen keeps all of its window but these seconds when it rolls.
_AUDIOGEN_STRIDE_SECONDS = 2
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
_T5_LARGE = {"d_model": 1024, "d_kv": 64, "d_ff": 4096, "num_layers": 24, "num_heads": 16}
# ByT5's bytes and special tokens need 384 rows.
_T5_TINY = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}


@dataclass(frozen=True)
class Preset:
    """Which checkpoint to imitate; the properties give the content of its JSON files."""

    kind: str
    stereo: bool
    sizes: _Sizes
    tiny: bool
    is_for_sounds: bool
    window_seconds: int

    @classmethod
    def like(cls, hub_id: str, *, tiny: bool) -> Preset:
        """Raises ParameterError naming the known ids."""
        known = KNOWN_IDS + CONVERTED_IDS
        if hub_id not in known:
            raise ParameterError(f"--like {hub_id!r}: expected one of {', '.join(known)}")
        words = hub_id.removeprefix("facebook/").split("-")
        size = next((word for word in words if word in _SIZES), "medium")
        is_for_sounds = bool({"audiogen", "audio"} & set(words))
        return cls(
            kind=_kind(words),
            stereo="stereo" in words,
            sizes=_TINY if tiny else _SIZES[size],
            tiny=tiny,
            is_for_sounds=is_for_sounds,
            window_seconds=10 if is_for_sounds or "10secs" in words else 30,
        )

    @property
    def is_masked(self) -> bool:
        return self.kind == "magnet"

    @property
    def sampling_rate_hz(self) -> int:
        return 16_000 if self.is_for_sounds else 32_000

    @property
    def channels(self) -> int:
        return 2 if self.stereo else 1

    def config(self, *, dtype: str, frame_conditioning: bool) -> dict[str, Any]:
        """config.json. `dtype` is a key of DTYPES."""
        is_melody = self.kind == "musicgen_melody"
        config: dict[str, Any] = {
            "architectures": [
                {
                    "musicgen": "MusicgenForConditionalGeneration",
                    "musicgen_melody": "MusicgenMelodyForConditionalGeneration",
                    "magnet": "MagnetForConditionalGeneration",
                }[self.kind]
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
        if self.is_masked:
            config["magnet"] = self._magnet()
        if config["text_encoder"]["d_model"] == config["decoder"]["hidden_size"]:
            config["has_text_projection"] = True
        if frame_conditioning:
            config["frame_conditioning"] = FRAME_CONDITIONING.to_json()
        return config

    def generation_config(self) -> dict[str, Any]:
        """generation_config.json: a whole window, sampled, with guidance."""
        special = self.sizes.vocab_size
        config: dict[str, Any] = {
            "bos_token_id": special,
            "decoder_start_token_id": special,
            "pad_token_id": special,
            "do_sample": True,
            "guidance_scale": self._magnet()["max_guidance"] if self.is_masked else 3.0,
            "max_length": self.window_seconds * _FRAME_RATE_HZ,
        }
        if self.is_for_sounds and not self.is_masked:
            kept_seconds = self.window_seconds - _AUDIOGEN_STRIDE_SECONDS
            config["context_length"] = kept_seconds * _FRAME_RATE_HZ
        return config

    def preprocessor_config(self) -> dict[str, Any]:
        """preprocessor_config.json: chroma for a melody checkpoint, else plain audio."""
        if self.kind == "musicgen_melody":
            return {
                "feature_extractor_type": "MusicgenMelodyFeatureExtractor",
                "processor_class": "MusicgenMelodyProcessor",
                "feature_size": 12,
                "num_chroma": 12,
                "sampling_rate": self.sampling_rate_hz,
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
            "sampling_rate": self.sampling_rate_hz,
            "padding_side": "left",
            "padding_value": 0.0,
            "return_attention_mask": True,
        }

    def _decoder(self) -> dict[str, Any]:
        sizes = self.sizes
        codebooks = _CODEBOOKS_PER_CHANNEL * self.channels
        decoder: dict[str, Any] = {
            "model_type": f"{self.kind}_decoder",
            "vocab_size": sizes.vocab_size,
            "pad_token_id": sizes.vocab_size,
            "bos_token_id": sizes.vocab_size,
            "num_codebooks": codebooks,
            "audio_channels": self.channels,
            "hidden_size": sizes.d_model,
            "num_hidden_layers": sizes.num_layers,
            "num_attention_heads": sizes.num_heads,
            "ffn_dim": 4 * sizes.d_model,
            "max_position_embeddings": 2048,
            "activation_function": "gelu",
            "scale_embedding": False,
        }
        if self.is_masked:
            decoder["codebook_delays"] = [0] * codebooks
        return decoder

    def _magnet(self) -> dict[str, Any]:
        """As audiocraft's MAGNeT decodes music by default, and its solver for sounds."""
        steps = MagnetConfig.default_steps(_CODEBOOKS_PER_CHANNEL * self.channels)
        if not self.is_for_sounds:
            return {"decoding_steps": steps, "max_guidance": MagnetConfig.max_guidance}
        return {"decoding_steps": steps, "temperature": 3.5, "top_p": 0.8, "max_guidance": 20.0}

    def _codec(self) -> dict[str, Any]:
        bits = (self.sizes.vocab_size - 1).bit_length()
        return {
            "model_type": "encodec",
            "sampling_rate": self.sampling_rate_hz,
            "audio_channels": 1,
            "upsampling_ratios": [8, 5, 4, 2] if self.is_for_sounds else [8, 5, 4, 4],
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
        full = _T5_LARGE if self.is_for_sounds else _T5_BASE
        sizes = _T5_TINY if self.tiny else full
        vocab_size = 384 if self.tiny else 32128
        return {"model_type": "t5", **sizes, "vocab_size": vocab_size, "feed_forward_proj": "relu"}


def _kind(words: list[str]) -> str:
    """The model_type of a checkpoint by the words of its name."""
    if "magnet" in words:
        return "magnet"
    return "musicgen_melody" if "melody" in words else "musicgen"
