"""What a checkpoint is: its shapes, rates and conditioners, read from transformers' JSON files.

Transformers leaves out every value that equals a class default, so each default here is that of
`MusicgenDecoderConfig`, `MusicgenMelodyConfig`, `EncodecConfig`, `T5Config` and
`MusicgenMelodyFeatureExtractor`. Nothing is assumed about the size of the model or its rate.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from musicgen_rt.model.chroma_shape import ChromaShape
from musicgen_rt.model.codec_config import CodecConfig
from musicgen_rt.model.json_section import JsonSection
from musicgen_rt.model.magnet_config import MagnetConfig

Kind = Literal["text", "melody"]

# MAGNeT differs from a text model in how it is decoded, not in its tensors.
_KINDS: dict[str, Kind] = {"musicgen": "text", "musicgen_melody": "melody", "magnet": "text"}
_ACTIVATIONS = ("gelu",)  # "gelu" is the exact (erf) form in transformers
_T5_FAMILY = ("t5", "mt5", "umt5")
_ATTRIBUTE_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_MAX_ATTRIBUTES = 32
# MusicGen was trained and is sampled with this guidance where no generation_config.json says else.
DEFAULT_GUIDANCE_SCALE = 3.0
# 30 s at 50 frames a second, as all official checkpoints were trained.
DEFAULT_WINDOW_FRAMES = 1500
_SHORTEST_WINDOW_FRAMES = 50
_LONGEST_DELAY = 100
# torch's own LayerNorm default: transformers' config does not carry it.
LAYER_NORM_EPS = 1e-5


@dataclass(frozen=True)
class LMConfig:
    """The decoder-only language model over codec tokens (K codebooks, width D)."""

    vocab_size: int
    num_codebooks: int
    d_model: int
    num_layers: int
    num_heads: int
    ffn_dim: int
    activation: str
    max_positions: int
    scale_embedding: bool
    pad_token: int
    audio_channels: int
    layer_norm_eps: float = LAYER_NORM_EPS
    codebook_delays: tuple[int, ...] | None = None

    @property
    def head_dim(self) -> int:
        return self.d_model // self.num_heads

    @property
    def codebooks_per_channel(self) -> int:
        return self.num_codebooks // self.audio_channels

    @property
    def delays(self) -> tuple[int, ...]:
        """Frames by which each codebook is late: 0 1 2 3; in stereo 0 0 1 1 2 2 3 3 (1L 1R ...).

        `codebook_delays` of config.json, this project's own key, says others.
        """
        if self.codebook_delays is not None:
            return self.codebook_delays
        return tuple(index // self.audio_channels for index in range(self.num_codebooks))

    @classmethod
    def from_json(cls, decoder: Mapping[str, Any]) -> LMConfig:
        """Parse the `decoder` object. Raises CheckpointError naming the field."""
        fields = JsonSection.of("config.json: decoder", decoder)
        vocab_size = fields.integer("vocab_size", 2048, 2, 1 << 16)
        channels = fields.integer("audio_channels", 1, 1, 2)
        config = cls(
            vocab_size=vocab_size,
            num_codebooks=fields.integer("num_codebooks", 4, channels, 64),
            d_model=fields.integer("hidden_size", 1024, 4, 1 << 15),
            num_layers=fields.integer("num_hidden_layers", 24, 1, 512),
            num_heads=fields.integer("num_attention_heads", 16, 1, 512),
            ffn_dim=fields.integer("ffn_dim", 4096, 1, 1 << 18),
            activation=fields.choice("activation_function", "gelu", _ACTIVATIONS),
            max_positions=fields.integer("max_position_embeddings", 2048, 1, 1 << 20),
            scale_embedding=fields.boolean("scale_embedding", False),
            # The embeddings have vocab_size + 1 rows, so the special token may be the last.
            pad_token=fields.integer("pad_token_id", 2048, 0, vocab_size),
            audio_channels=channels,
            codebook_delays=_codebook_delays(fields),
        )
        config._check(fields)
        return config

    def _check(self, fields: JsonSection) -> None:
        if self.d_model % 2:
            raise fields.fail(
                "hidden_size", self.d_model, "an even number (sine and cosine halves)"
            )
        if self.d_model % self.num_heads:
            raise fields.fail("num_attention_heads", self.num_heads, f"a divisor of {self.d_model}")
        if self.num_codebooks % self.audio_channels:
            raise fields.fail(
                "num_codebooks", self.num_codebooks, f"a multiple of {self.audio_channels} channels"
            )
        if len(self.delays) != self.num_codebooks or list(self.delays) != sorted(self.delays):
            expected = f"{self.num_codebooks} delays, none below the one before it"
            raise fields.fail("codebook_delays", list(self.delays), expected)
        if fields.values.get("cross_attention_hidden_size") is not None:
            value = fields.values["cross_attention_hidden_size"]
            raise fields.fail("cross_attention_hidden_size", value, "null")


def _codebook_delays(fields: JsonSection) -> tuple[int, ...] | None:
    delays = fields.values.get("codebook_delays")
    if delays is None:
        return None
    if not isinstance(delays, list):
        raise fields.fail("codebook_delays", delays, "a list of whole numbers")
    items = JsonSection(
        fields.name, {f"codebook_delays[{i}]": delay for i, delay in enumerate(delays)}
    )
    return tuple(items.integer(key, None, 0, _LONGEST_DELAY) for key in items.values)


@dataclass(frozen=True)
class ClockConfig:
    """The clock conditioner: sines and cosines of bar and beat phase, metre and tempo."""

    bar_harmonics: int = 32
    beat_harmonics: int = 8
    max_beats_per_bar: int = 8

    @property
    def num_features(self) -> int:
        """Sine and cosine per harmonic, one-hot beats in the bar, and one number for the tempo."""
        return 2 * self.bar_harmonics + 2 * self.beat_harmonics + self.max_beats_per_bar + 1

    @classmethod
    def from_json(cls, fields: JsonSection) -> ClockConfig:
        fields.refuse_unknown(("bar_harmonics", "beat_harmonics", "max_beats_per_bar"))
        return cls(
            bar_harmonics=fields.integer("bar_harmonics", cls.bar_harmonics, 1, 256),
            beat_harmonics=fields.integer("beat_harmonics", cls.beat_harmonics, 0, 256),
            max_beats_per_bar=fields.integer("max_beats_per_bar", cls.max_beats_per_bar, 1, 32),
        )


@dataclass(frozen=True)
class FrameConditioningConfig:
    """Conditions added to the decoder's input at every frame (this project's own extension).

    Guidance enlarges what all conditions say together, and where one speaks much louder than the
    others it drowns them. `unconditional_clock` is the share of the clock's embedding that the
    unconditional row hears too, and so the share of the clock that guidance leaves as it is. Where
    one of `negative_attributes` is told to be off, that row is told that it is on: as a negative
    prompt names what is not wanted.
    """

    clock: ClockConfig | None = None
    chroma: bool = False
    attributes: tuple[str, ...] = ()
    unconditional_clock: float = 0.0
    negative_attributes: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, fields: JsonSection) -> FrameConditioningConfig:
        fields.refuse_unknown(tuple(field.name for field in dataclasses.fields(cls)))
        attributes = _attribute_names(fields, "attributes")
        negative = _attribute_names(fields, "negative_attributes")
        if not set(negative) <= set(attributes):
            raise fields.fail("negative_attributes", list(negative), "some of the attributes")
        has_clock = fields.values.get("clock") is not None
        return cls(
            clock=ClockConfig.from_json(fields.section("clock")) if has_clock else None,
            chroma=fields.boolean("chroma", False),
            attributes=attributes,
            unconditional_clock=fields.number("unconditional_clock", 0.0, 0.0, 1.0),
            negative_attributes=negative,
        )

    def to_json(self) -> dict[str, Any]:
        """The value of `frame_conditioning` in config.json that reads back as this config."""
        return {
            "clock": None if self.clock is None else dict(vars(self.clock)),
            "chroma": self.chroma,
            "attributes": list(self.attributes),
            "unconditional_clock": self.unconditional_clock,
            "negative_attributes": list(self.negative_attributes),
        }


def _attribute_names(fields: JsonSection, key: str) -> tuple[str, ...]:
    names = fields.values.get(key, [])
    expected = f"a list of up to {_MAX_ATTRIBUTES} different names like 'drums' (a-z, 0-9, _)"
    if not isinstance(names, list) or len(names) > _MAX_ATTRIBUTES:
        raise fields.fail(key, names, expected)
    for name in names:
        if not isinstance(name, str) or not _ATTRIBUTE_NAME.fullmatch(name):
            raise fields.fail(key, name, expected)
    if len(set(names)) != len(names):
        raise fields.fail(key, names, expected)
    return tuple(names)


@dataclass(frozen=True)
class ModelConfig:
    """Everything about a checkpoint that is not a tensor.

    `codec_json` and `text_encoder_json` are the sections of config.json as they stand; the codec
    and the text encoder parse their own. `window_frames` is what the checkpoint was made for, and
    `context_frames` what is kept of it when it rolls, where the checkpoint says so. `magnet` says
    how masked codes are decoded: such a model does not continue token by token.
    """

    kind: Kind
    lm: LMConfig
    codec_json: dict[str, Any]
    text_encoder_json: dict[str, Any]
    sampling_rate_hz: int
    hop_samples: int
    channels: int
    text_d_model: int
    chroma: ChromaShape | None
    frame_conditioning: FrameConditioningConfig | None
    guidance_scale: float
    window_frames: int
    context_frames: int | None = None
    magnet: MagnetConfig | None = None
    always_projects_text: bool = False

    @property
    def frame_rate_hz(self) -> float:
        """Codec frames a second: 50.0 for the official checkpoints."""
        return self.sampling_rate_hz / self.hop_samples

    @property
    def has_text_projection(self) -> bool:
        """Transformers leaves `enc_to_dec_proj` out where the widths are equal, audiocraft never.

        `has_text_projection` of config.json, this project's own key, says that it is there.
        """
        return self.always_projects_text or self.text_d_model != self.lm.d_model

    @property
    def has_chroma_projection(self) -> bool:
        return self.chroma is not None and self.chroma.num_chroma != self.lm.d_model

    @classmethod
    def from_json(
        cls,
        config: Mapping[str, Any],
        *,
        generation: Mapping[str, Any] | None = None,
        preprocessor: Mapping[str, Any] | None = None,
    ) -> ModelConfig:
        """Parse config.json and, where the folder has them, its two companions.

        Raises CheckpointError naming the field, its value and what was expected.
        """
        root = JsonSection.of("config.json", config)
        kind = _KINDS[root.choice("model_type", None, tuple(_KINDS))]
        lm = LMConfig.from_json(root.section("decoder").values)
        codec, text = root.section("audio_encoder"), root.section("text_encoder")
        codec_config = _checked_codec(codec, lm)
        sampling = JsonSection.of("generation_config.json", generation or {})
        return cls(
            kind=kind,
            lm=lm,
            codec_json=dict(codec.values),
            text_encoder_json=dict(text.values),
            sampling_rate_hz=codec_config.sample_rate_hz,
            hop_samples=codec_config.hop_samples,
            channels=lm.audio_channels,
            text_d_model=_text_width(text),
            chroma=ChromaShape.from_json(root, preprocessor or {}) if kind == "melody" else None,
            frame_conditioning=_frame_conditioning(root),
            guidance_scale=_guidance_scale(sampling),
            window_frames=_window_frames(sampling, lm),
            context_frames=_context_frames(sampling, lm),
            magnet=_magnet(root, lm),
            always_projects_text=root.boolean("has_text_projection", False),
        )


def _guidance_scale(sampling: JsonSection) -> float:
    if sampling.values.get("guidance_scale") is None:
        return DEFAULT_GUIDANCE_SCALE
    return sampling.number("guidance_scale", DEFAULT_GUIDANCE_SCALE, 0.0, 100.0)


def _window_frames(sampling: JsonSection, lm: LMConfig) -> int:
    """The longest stretch that the checkpoint was made for: generation_config's `max_length`."""
    frames = DEFAULT_WINDOW_FRAMES
    if sampling.values.get("max_length") is not None:
        frames = sampling.integer("max_length", frames, 1, 1 << 24)
    # transformers' own default, 20, comes from a file that nobody filled in.
    return min(
        frames if frames >= _SHORTEST_WINDOW_FRAMES else DEFAULT_WINDOW_FRAMES, lm.max_positions
    )


def _context_frames(sampling: JsonSection, lm: LMConfig) -> int | None:
    """This project's own key beside `max_length`."""
    if sampling.values.get("context_length") is None:
        return None
    return sampling.integer("context_length", None, 1, _window_frames(sampling, lm) - 1)


def _magnet(root: JsonSection, lm: LMConfig) -> MagnetConfig | None:
    if root.values["model_type"] != "magnet":
        return None
    if any(lm.delays):
        raise root.fail("decoder.codebook_delays", list(lm.delays), "zeros, as for any MAGNeT")
    return MagnetConfig.from_json(root.section("magnet"), lm.num_codebooks)


def _frame_conditioning(root: JsonSection) -> FrameConditioningConfig | None:
    if root.values.get("frame_conditioning") is None:
        return None
    return FrameConditioningConfig.from_json(root.section("frame_conditioning"))


def _checked_codec(codec: JsonSection, lm: LMConfig) -> CodecConfig:
    """The codec's own config, after checking that the LM's codes are codes of this codec."""
    config = CodecConfig.from_json(codec.values)
    if config.audio_channels != 1:
        expected = "1: a stereo model runs a mono codec once per channel"
        raise codec.fail("audio_channels", config.audio_channels, expected)
    if config.codebook_size != lm.vocab_size:
        expected = f"{lm.vocab_size}, as decoder.vocab_size"
        raise codec.fail("codebook_size", config.codebook_size, expected)
    if config.num_codebooks < lm.codebooks_per_channel:
        expected = f"enough for {lm.codebooks_per_channel} codebooks, as decoder.num_codebooks"
        raise codec.fail("target_bandwidths", list(config.target_bandwidths), expected)
    return config


def _text_width(text: JsonSection) -> int:
    """Width of the text states: T5 calls it `d_model`, most other encoders `hidden_size`."""
    is_t5 = text.values.get("model_type", "t5") in _T5_FAMILY
    key = "hidden_size" if "hidden_size" in text.values else "d_model"
    return text.integer(key, 512 if is_t5 else None, 1, 1 << 16)
