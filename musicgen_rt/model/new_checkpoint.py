"""Write a MusicGen checkpoint of random weights: the real shapes and files, without a download.

For tests, timings and trying out an installation; its music is noise. Transformers'
`from_pretrained` loads what is written here as it loads the official checkpoints.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import ByT5Tokenizer, EncodecConfig, EncodecModel

from musicgen_rt.errors import ParameterError
from musicgen_rt.model import text
from musicgen_rt.model.checkpoint import CODEC_PREFIX, FRAME_CONDITIONING_WEIGHTS
from musicgen_rt.model.checkpoint_folder import (
    new_folder,
    num_bytes_of,
    write_json,
    write_tensors,
    write_weights,
)
from musicgen_rt.model.config import ModelConfig
from musicgen_rt.model.expected_shapes import Shape, frame_conditioning_shapes, lm_shapes
from musicgen_rt.model.presets import DTYPES, Preset
from musicgen_rt.model.random_weights import random_tensor


def write_checkpoint(
    like: str,
    out: Path,
    *,
    tiny: bool = False,
    seed: int = 0,
    frame_conditioning: bool = False,
    dtype: str = "fp32",
) -> None:
    """Write a checkpoint like the official one named `like` into the new folder `out`.

    `tiny` keeps the structure with small dimensions. The folder appears complete or not at all.
    The tokenizer is ByT5's, which needs no vocabulary file.
    Raises ParameterError for an unknown `like` or `dtype`, CheckpointError if the folder is not
    empty, cannot be written or the disk has no room.
    """
    if dtype not in DTYPES:
        raise ParameterError(f"dtype {dtype!r}: expected one of {', '.join(DTYPES)}")
    if not 0 <= seed < 1 << 63:
        raise ParameterError(f"seed {seed}: expected 0..{(1 << 63) - 1}")
    preset = Preset.like(like, tiny=tiny)
    with new_folder(out) as partial:
        config = _write_json_files(
            partial, preset, dtype=dtype, frame_conditioning=frame_conditioning
        )
        _write_weights(partial, config, getattr(torch, DTYPES[dtype]), seed)


def _write_json_files(
    folder: Path, preset: Preset, *, dtype: str, frame_conditioning: bool
) -> ModelConfig:
    config = preset.config(dtype=dtype, frame_conditioning=frame_conditioning)
    generation, preprocessor = preset.generation_config(), preset.preprocessor_config()
    write_json(folder / "config.json", config)
    write_json(folder / "generation_config.json", generation)
    write_json(folder / "preprocessor_config.json", preprocessor)
    ByT5Tokenizer().save_pretrained(folder)
    return ModelConfig.from_json(config, generation=generation, preprocessor=preprocessor)


def _write_weights(folder: Path, config: ModelConfig, dtype: torch.dtype, seed: int) -> None:
    shapes = _main_shapes(config)
    sizes = {name: num_bytes_of(shape, dtype) for name, shape in shapes.items()}
    write_weights(
        folder, sizes, lambda name: random_tensor(name, shapes[name], config, seed).to(dtype)
    )
    if config.frame_conditioning is not None:
        extra = frame_conditioning_shapes(config.frame_conditioning, config.lm.d_model)
        tensors = {
            name: random_tensor(name, shape, config, seed).to(dtype)
            for name, shape in extra.items()
        }
        write_tensors(folder / FRAME_CONDITIONING_WEIGHTS, tensors)


def _main_shapes(config: ModelConfig) -> dict[str, Shape]:
    """Everything in model.safetensors, tensors that share storage once."""
    shapes = lm_shapes(config)
    layout = text.TextEncoderLayout.from_json(config.text_encoder_json)
    repeated = {name for names in layout.ties for name in names[1:]}
    for name, shape in layout.shapes.items():
        if name not in repeated:
            shapes[text.PREFIX + name] = shape
    # The codec has buffers that only training reads; transformers wants them all the same.
    with torch.device("meta"):
        codec = EncodecModel(EncodecConfig(**config.codec_json))
    for name, tensor in codec.state_dict().items():
        shapes[CODEC_PREFIX + name] = tuple(tensor.shape)
    return shapes
