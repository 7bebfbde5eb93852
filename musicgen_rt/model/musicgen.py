"""A loaded MusicGen: language model, codec, text encoder and conditioners, ready for any engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from musicgen_rt.errors import ParameterError, UnsupportedError
from musicgen_rt.model.checkpoint import Checkpoint
from musicgen_rt.model.codec import Codec
from musicgen_rt.model.codec_config import CodecConfig
from musicgen_rt.model.codec_frames import FrameDecoder
from musicgen_rt.model.config import ModelConfig
from musicgen_rt.model.expected_shapes import frame_conditioning_shapes
from musicgen_rt.model.frame_conditioning import FrameConditioner
from musicgen_rt.model.hub import resolve
from musicgen_rt.model.linear import WeightFormat
from musicgen_rt.model.lm import LM
from musicgen_rt.model.lm_weights import load_lm
from musicgen_rt.model.text import TextEncoder
from musicgen_rt.model.text_attributes import TEXT_ATTRIBUTES_WEIGHTS, TextAttributes, load_heads

Progress = Callable[[str, int, int], None]
_CODEC_PREFIX = "audio_encoder."
# Below this many parameters float32 is fast enough anywhere, and exact.
_SMALL_MODEL_PARAMETERS = 60_000_000


@dataclass(frozen=True)
class MusicGen:
    """The parts of a checkpoint. Immutable; several engines may share one, one thread at a time."""

    source: str
    config: ModelConfig
    lm: LM
    codec: FrameDecoder
    text: TextEncoder
    conditioner: FrameConditioner | None
    text_attributes: TextAttributes | None
    weight_format: WeightFormat

    @property
    def device(self) -> torch.device:
        return self.lm.device

    @classmethod
    def load(
        cls,
        source: str,
        *,
        device: str = "auto",
        weights: str = "auto",
        progress: Progress | None = None,
    ) -> MusicGen:
        """Load a checkpoint from a local folder or a hub id.

        `device` is auto, cpu, cuda, cuda:N or mps; `weights` is auto, fast, fp32, bf16, fp16,
        int8 or int4 (the last two on a CPU; see `choose_format`). `progress(part, done, total)` is
        called as parts load.
        Raises CheckpointError, ParameterError or UnsupportedError.
        """
        place = choose_device(device)
        with Checkpoint.open(resolve(source)) as checkpoint:
            weight_format = choose_format(weights, place, checkpoint.config)
            report = progress or (lambda part, done, total: None)
            lm = load_lm(
                checkpoint, weight_format, place, lambda done, total: report("model", done, total)
            )
            text = TextEncoder.from_checkpoint(checkpoint)
            return cls(
                source=source,
                config=checkpoint.config,
                lm=lm,
                codec=_load_codec(checkpoint, place),
                text=text,
                conditioner=_load_conditioner(checkpoint),
                text_attributes=_load_text_attributes(checkpoint, text),
                weight_format=weight_format,
            )


def _load_text_attributes(checkpoint: Checkpoint, text: TextEncoder) -> TextAttributes | None:
    if not (checkpoint.folder / TEXT_ATTRIBUTES_WEIGHTS).is_file():
        return None
    return TextAttributes(text, load_heads(checkpoint.folder))


def choose_device(name: str) -> torch.device:
    """The torch device for a name; auto takes CUDA, then MPS, then the CPU.

    Raises ParameterError for a device that this machine or this torch does not have.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ParameterError(f"device {name!r}: expected auto, cpu, cuda, cuda:N or mps") from None
    available = {
        "cpu": 1,
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
    }
    if (device.index or 0) >= available.get(device.type, 0):
        found = ", ".join(kind for kind, count in available.items() if count)
        raise ParameterError(f"device {name!r} is not there: this machine has {found}")
    return device


def choose_format(name: str, device: torch.device, config: ModelConfig) -> WeightFormat:
    """The weight format for a name. Raises ParameterError or UnsupportedError.

    "auto" is exact where that costs little, "fast" is for playing live: on a CPU, where a step
    takes as long as reading the weights, 8 bits a weight for small models and 4 for others.
    """
    lm = config.lm
    parameters = lm.num_layers * lm.d_model * (8 * lm.d_model + 2 * lm.ffn_dim)
    is_small = parameters < _SMALL_MODEL_PARAMETERS
    if name in ("auto", "fast") and device.type != "cpu":
        return WeightFormat.FP16
    if name == "fast":
        return WeightFormat.INT8 if is_small else WeightFormat.INT4
    if name == "auto":
        if is_small or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return WeightFormat.FP32
        return WeightFormat.BF16
    weight_format = WeightFormat.parse(name)
    if weight_format.is_quantised and device.type != "cpu":
        raise UnsupportedError(
            f"weights {name} are for the CPU, the device is {device.type}: use bf16 or fp16"
        )
    return weight_format


def _load_codec(checkpoint: Checkpoint, device: torch.device) -> FrameDecoder:
    config = CodecConfig.from_json(checkpoint.config.codec_json)
    codec = Codec.from_tensors(config, lambda name: checkpoint.tensor(_CODEC_PREFIX + name))
    decoder = FrameDecoder(codec.to(device), checkpoint.config.channels)
    if decoder.num_codebooks != checkpoint.config.lm.num_codebooks:
        raise UnsupportedError(
            f"the codec has {decoder.num_codebooks} codebooks and the language model "
            f"{checkpoint.config.lm.num_codebooks}: they are not of the same checkpoint"
        )
    return decoder


def _load_conditioner(checkpoint: Checkpoint) -> FrameConditioner | None:
    config = checkpoint.config.frame_conditioning
    if config is None:
        return None
    names = list(frame_conditioning_shapes(config, checkpoint.config.lm.d_model))
    return FrameConditioner(config, {name: checkpoint.tensor(name) for name in names})
