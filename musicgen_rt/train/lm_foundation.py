"""What a run builds on: a codec for a new model, or a checkpoint to fine-tune.

It gives the config, the starting weights, the tokenizer, and all that an exported checkpoint takes
over unchanged: the codec's tensors and the small files.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from transformers import AutoTokenizer, ByT5Tokenizer

from musicgen_rt.errors import CheckpointError
from musicgen_rt.model.checkpoint import CODEC_PREFIX, WEIGHTS, Checkpoint
from musicgen_rt.model.codec import Codec
from musicgen_rt.model.codec_config import CodecConfig
from musicgen_rt.model.codec_frames import FrameDecoder
from musicgen_rt.model.config import FrameConditioningConfig, ModelConfig
from musicgen_rt.model.hub import resolve
from musicgen_rt.model.text_attributes import TEXT_ATTRIBUTES_WEIGHTS
from musicgen_rt.train.lm_config import ConditionShape, LMTrainConfig
from musicgen_rt.train.lm_new_json import (
    decoder_json,
    generation_json,
    preprocessor_json,
    text_json,
)

_COMPANIONS = (
    "generation_config.json", "preprocessor_config.json", "processor_config.json",
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "spiece.model",
)  # fmt: skip


@dataclass(frozen=True)
class Foundation:
    """`config_json` is config.json as the export will have it, `config` what it says.

    `start` is the checkpoint to fine-tune, None for a new model; `codec` the codec's folder then,
    or where another than the checkpoint's is exported. `own` are the conditioners that the
    checkpoint has already.
    """

    config_json: dict[str, Any]
    config: ModelConfig
    start: Path | None
    codec: Path | None
    own: FrameConditioningConfig | None = None

    @property
    def has_heads(self) -> bool:
        """Whether the checkpoint to fine-tune reads attributes off a prompt already."""
        return self.start is not None and (self.start / TEXT_ATTRIBUTES_WEIGHTS).is_file()

    def tokenizer(self) -> Any:
        """The text encoder's tokenizer."""
        if self.start is None:
            return ByT5Tokenizer()
        return AutoTokenizer.from_pretrained(
            str(self.start), local_files_only=True, trust_remote_code=False
        )

    def codec_tensors(self) -> dict[str, Tensor]:
        """The codec under the names of a whole checkpoint."""
        if self.codec is not None:
            return {CODEC_PREFIX + n: tensor for n, tensor in _codec_file(self.codec).items()}
        assert self.start is not None
        with Checkpoint.open(self.start) as checkpoint:
            names = [name for name in checkpoint.names() if name.startswith(CODEC_PREFIX)]
            return {name: checkpoint.tensor(name).clone() for name in names}

    def with_codec(self, folder: Path) -> Foundation:
        """The same with a codec whose decoder has been tuned since.

        Raises CheckpointError if its codes are not those that the model learned.
        """
        config_json = {**self.config_json, "audio_encoder": _codec_json(folder)}
        other = replace(self, config_json=config_json, codec=folder)
        mine, theirs = self.codec_tensors(), other.codec_tensors()
        for name in sorted(mine.keys() | theirs.keys()):
            if name.startswith(f"{CODEC_PREFIX}decoder."):
                continue
            pair = mine.get(name), theirs.get(name)
            if pair[0] is None or pair[1] is None or not torch.equal(pair[0].float(), pair[1]):
                raise CheckpointError(
                    f"the codec in {folder} has another {name.removeprefix(CODEC_PREFIX)} than the "
                    "model's: its codes mean something else; only the decoder may differ"
                )
        return other

    def write_companions(self, folder: Path) -> None:
        """Everything but config.json and weights: tokenizer, generation and audio settings."""
        if self.start is not None:
            for name in _COMPANIONS:
                if (self.start / name).is_file():
                    shutil.copyfile(self.start / name, folder / name)
            return
        ByT5Tokenizer().save_pretrained(folder)
        _write_json(folder / "generation_config.json", generation_json(self.config))
        _write_json(folder / "preprocessor_config.json", preprocessor_json(self.config))


def load_foundation(config: LMTrainConfig) -> Foundation:
    """Reads the codec or checkpoint that a run names. Raises CheckpointError."""
    conditioning = config.conditions.to_model()
    if config.start:
        is_left_out = config.conditions == ConditionShape()
        return _from_checkpoint(resolve(config.start), conditioning, is_left_out)
    folder = Path(config.codec)
    codec_json = _codec_json(folder)
    table: dict[str, Any] = {
        "architectures": ["MusicgenForConditionalGeneration"],
        "model_type": "musicgen",
        "is_encoder_decoder": True,
        "dtype": "float32",
        "text_encoder": text_json(config.shape.text),
        "audio_encoder": codec_json,
        "decoder": decoder_json(config, CodecConfig.from_json(codec_json)),
    }
    if conditioning is not None:
        table["frame_conditioning"] = conditioning.to_json()
    # What a model was trained on is what it can be asked for.
    generation = {"max_length": config.batch.window_frames}
    return Foundation(table, ModelConfig.from_json(table, generation=generation), None, folder)


def load_frame_decoder(folder: Path, device: torch.device) -> FrameDecoder:
    """The codec of an exported codec's folder or of a whole checkpoint. Raises CheckpointError."""
    table = _read_json(folder / "config.json")
    if table.get("model_type") == "encodec":
        tensors = _codec_file(folder)
        codec = Codec.from_tensors(CodecConfig.from_json(table), tensors.__getitem__)
        return FrameDecoder(codec.to(device))
    with Checkpoint.open(folder) as checkpoint:
        codec_config = CodecConfig.from_json(checkpoint.config.codec_json)
        codec = Codec.from_tensors(codec_config, lambda n: checkpoint.tensor(CODEC_PREFIX + n))
        return FrameDecoder(codec.to(device), checkpoint.config.channels)


def _from_checkpoint(
    folder: Path, conditioning: FrameConditioningConfig | None, is_left_out: bool
) -> Foundation:
    """A checkpoint with the run's conditioners: its own if it has any, and attributes added.

    Where the run leaves out which (`is_left_out`) they are its own alone.
    """
    table = _read_json(folder / "config.json")
    with Checkpoint.open(folder) as checkpoint:
        own = checkpoint.config.frame_conditioning
    if own is not None and is_left_out:
        conditioning = own
    if own is not None and conditioning is not None:
        # What guidance tells the unconditional row is not trained.
        conditioning = replace(
            conditioning,
            unconditional_clock=own.unconditional_clock,
            negative_attributes=own.negative_attributes,
        )
    if own is not None and not _extends(conditioning, own):
        raise CheckpointError(
            f"{folder} has the frame conditioners {own.to_json()}; [conditions] asks for others: "
            "name the same ones, and what attributes you want to add"
        )
    if conditioning is not None:
        table["frame_conditioning"] = conditioning.to_json()
    companions = {
        key: _read_json(folder / f"{key}_config.json")
        for key in ("generation", "preprocessor")
        if (folder / f"{key}_config.json").is_file()
    }
    return Foundation(table, ModelConfig.from_json(table, **companions), folder, None, own)


def _extends(asked: FrameConditioningConfig | None, own: FrameConditioningConfig) -> bool:
    if asked is None or not set(own.attributes) <= set(asked.attributes):
        return False
    return replace(asked, attributes=()) == replace(own, attributes=())


def _codec_json(folder: Path) -> dict[str, Any]:
    table = _read_json(folder / "config.json")
    if table.get("model_type") != "encodec":
        raise CheckpointError(
            f"{folder} holds a {table.get('model_type')!r}, expected the folder of a codec "
            "(model_type 'encodec') as `musicgen-rt train export` writes it; a whole checkpoint "
            "goes into `start`"
        )
    return table


def _codec_file(folder: Path) -> dict[str, Tensor]:
    try:
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            return {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except Exception as error:
        raise CheckpointError(f"{folder / WEIGHTS} cannot be read ({error})") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not isinstance(table, dict):
        raise CheckpointError(f"{path} holds a {type(table).__name__}, expected an object")
    return table


def _write_json(path: Path, table: dict[str, Any]) -> None:
    path.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
