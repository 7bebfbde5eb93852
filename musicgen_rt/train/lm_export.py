"""Writes a trained language model as a whole checkpoint: with its codec, tokenizer and companions.

transformers' `from_pretrained` loads it without the frame conditioners, `MusicGen.load` with them.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors import SafetensorError
from safetensors.torch import save_file

from musicgen_rt.errors import CheckpointError
from musicgen_rt.model.checkpoint import FRAME_CONDITIONING_WEIGHTS, WEIGHTS
from musicgen_rt.model.text_attributes import TEXT_ATTRIBUTES_WEIGHTS, AttributeHeads, save_heads
from musicgen_rt.train import checkpointing
from musicgen_rt.train.config import build_config
from musicgen_rt.train.lm import put_weights
from musicgen_rt.train.lm_config import LMTrainConfig
from musicgen_rt.train.lm_foundation import Foundation, load_foundation
from musicgen_rt.train.lm_model import TrainableLM
from musicgen_rt.train.lm_objective import LMObjective, build_objective
from musicgen_rt.train.lora import merge_lora

_METADATA = {"format": "pt"}  # transformers refuses files without it


@dataclass(frozen=True)
class GuidanceShape:
    """What guidance tells the unconditional row: not trained, see `FrameConditioningConfig`."""

    unconditional_clock: float = 0.0
    negative_attributes: tuple[str, ...] = ()

    def given_to(self, foundation: Foundation, run_folder: Path) -> Foundation:
        """A foundation that has it. Raises CheckpointError if its conditioners do not."""
        conditioning = dict(foundation.config_json.get("frame_conditioning") or {})
        if self.unconditional_clock and conditioning.get("clock") is None:
            raise CheckpointError(
                f"unconditional_clock is {self.unconditional_clock} and {run_folder} has no clock: "
                "leave it out"
            )
        strange = set(self.negative_attributes) - set(conditioning.get("attributes", ()))
        if strange:
            raise CheckpointError(
                f"negative_attributes names {', '.join(sorted(strange))} and {run_folder} has "
                f"{', '.join(conditioning.get('attributes', ())) or 'none'}: name some of these"
            )
        if self != GuidanceShape():
            conditioning["unconditional_clock"] = self.unconditional_clock
            conditioning["negative_attributes"] = list(self.negative_attributes)
            table = {**foundation.config_json, "frame_conditioning": conditioning}
            return replace(foundation, config_json=table)
        return foundation


def export_run(
    run_folder: Path,
    out: Path,
    dtype: torch.dtype = torch.float32,
    shard_bytes: int | None = None,
    guidance: GuidanceShape | None = None,
    codec: Path | None = None,
) -> int:
    """Exports the averaged weights of a run; returns the step they are from.

    With `shard_bytes` the weights are cut into files of at most that size, as transformers does.
    `guidance` is for a model with frame conditioners. `codec` is an exported codec of the same
    codes, whose tuned decoder takes the place of the run's.

    Raises CheckpointError if there is no saved state, the codes are not the same, or `out` is not a
    new or empty folder.
    """
    config = build_config(checkpointing.read_run_config(run_folder), LMTrainConfig)
    state = checkpointing.load_state(run_folder)
    foundation = load_foundation(config)
    if codec is not None:
        foundation = foundation.with_codec(codec)
    objective = build_objective(config, foundation)
    average = state.group("average")
    if not any(name.startswith("heads.") for name in average):
        objective.heads = None  # its clips taught them nothing
    trained = {name: p for name, p in objective.named_parameters() if p.requires_grad}
    put_weights(trained, average)
    if guidance is not None:
        foundation = guidance.given_to(foundation, run_folder)
    export_objective(objective, foundation, out, dtype, shard_bytes)
    return int(state.values["step"])


def export_objective(
    objective: LMObjective,
    foundation: Foundation,
    out: Path,
    dtype: torch.dtype = torch.float32,
    shard_bytes: int | None = None,
) -> None:
    """Writes a checkpoint folder; it appears complete or not at all. Raises CheckpointError."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CheckpointError(f"{out} exists and is not an empty folder; choose a new one")
    partial = out.parent / f".{out.name}.partial-{os.getpid()}"
    try:
        partial.mkdir(parents=True)
        foundation.write_companions(partial)
        table: dict[str, Any] = {
            **foundation.config_json,
            "dtype": str(dtype).removeprefix("torch."),
        }
        (partial / "config.json").write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
        _write_weights(partial, _merged(objective.model), foundation, dtype, shard_bytes)
        _write_heads(partial, objective.heads, foundation)
        if out.exists():
            out.rmdir()
        partial.rename(out)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{out} cannot be written ({error}); make room or name another folder"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _merged(model: TrainableLM) -> TrainableLM:
    """A copy with low-rank updates added to their matrices."""
    merged = copy.deepcopy(model).cpu().eval()
    merge_lora(merged)
    return merged


def _write_weights(
    folder: Path,
    model: TrainableLM,
    foundation: Foundation,
    dtype: torch.dtype,
    shard_bytes: int | None,
) -> None:
    tensors = model.checkpoint_tensors() | foundation.codec_tensors()
    if shard_bytes is None:
        _save(tensors, folder / WEIGHTS, dtype)
    else:
        _save_in_shards(tensors, folder, dtype, shard_bytes)
    if model.conditioner is not None:
        _save(model.conditioner.tensors(), folder / FRAME_CONDITIONING_WEIGHTS, dtype)


def _write_heads(folder: Path, heads: AttributeHeads | None, foundation: Foundation) -> None:
    if heads is not None:
        save_heads(folder, heads)
    elif foundation.start is not None and foundation.has_heads:
        shutil.copyfile(
            foundation.start / TEXT_ATTRIBUTES_WEIGHTS, folder / TEXT_ATTRIBUTES_WEIGHTS
        )


def _save_in_shards(
    tensors: dict[str, torch.Tensor], folder: Path, dtype: torch.dtype, shard_bytes: int
) -> None:
    """Files and index under the names that transformers gives them."""
    stored = {name: tensor.to(dtype) for name, tensor in tensors.items()}
    split = split_torch_state_dict_into_shards(stored, max_shard_size=shard_bytes)
    for file_name, names in split.filename_to_tensors.items():
        _save({name: stored[name] for name in names}, folder / file_name, dtype)
    if split.is_sharded:
        index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        text = json.dumps(index, indent=2, sort_keys=True) + "\n"
        (folder / f"{WEIGHTS}.index.json").write_text(text, encoding="utf-8")


def _save(tensors: dict[str, torch.Tensor], path: Path, dtype: torch.dtype) -> None:
    stored = {n: tensor.detach().cpu().to(dtype).contiguous() for n, tensor in tensors.items()}
    save_file(stored, path, metadata=_METADATA)
    path.chmod(0o644)  # safetensors makes files that only their owner can read
