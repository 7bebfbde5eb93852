"""The state of a training run on disk: safetensors, written atomically, and JSON-lines metrics.

A run folder holds `config.json`, `state.safetensors` (what resuming needs) and
`metrics.jsonl`. Nothing in it is pickled, so a run from elsewhere cannot execute code.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from musicgen_rt.errors import CheckpointError, ParameterError

STATE_FILE = "state.safetensors"
CONFIG_FILE = "config.json"
METRICS_FILE = "metrics.jsonl"
_METADATA_KEY = "musicgen_rt_state"


@dataclass(frozen=True)
class RunState:
    """Everything a run needs to go on: named tensors and JSON values."""

    tensors: dict[str, torch.Tensor]
    values: dict[str, Any]

    def group(self, prefix: str) -> dict[str, torch.Tensor]:
        """The tensors named `prefix.*`, without the prefix."""
        start = prefix + "."
        return {
            name.removeprefix(start): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(start)
        }


def write_atomically(path: Path, text: str) -> None:
    """Writes a text file so that a reader, or a crash, sees the old or the new one, whole."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    _flush_and_replace(part, path)


def save_state(folder: Path, state: RunState) -> None:
    """Writes the state into a run folder; the earlier one stays until the new one is whole."""
    part = folder / (STATE_FILE + ".part")
    tensors = {name: tensor.detach().contiguous() for name, tensor in state.tensors.items()}
    save_file(tensors, part, metadata={_METADATA_KEY: json.dumps(state.values)})
    _flush_and_replace(part, folder / STATE_FILE)


def load_state(folder: Path) -> RunState:
    """Reads a state that `save_state` wrote. Raises CheckpointError when it is damaged."""
    path = folder / STATE_FILE
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return RunState(tensors, json.loads(metadata[_METADATA_KEY]))
    except (OSError, SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise CheckpointError(
            f"{path} is not the state of a training run ({error!r}); "
            "name another folder to start a new run"
        ) from error


def open_run(folder: Path, config: Mapping[str, Any]) -> RunState | None:
    """Makes a run folder, or finds one to go on with; None stands for a new run.

    Raises ParameterError when the folder holds a run with another configuration: its
    schedule and its shapes would not fit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / CONFIG_FILE
    wanted = json.loads(json.dumps(config))
    if path.exists():
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored != wanted:
            keys = sorted(key for key in {*stored, *wanted} if stored.get(key) != wanted.get(key))
            raise ParameterError(
                f"the run {folder} was started with another configuration (differs in: "
                f"{', '.join(keys)}); name another folder, or restore the values"
            )
    else:
        write_atomically(path, json.dumps(wanted, indent=2) + "\n")
    return load_state(folder) if (folder / STATE_FILE).exists() else None


def read_run_config(folder: Path) -> dict[str, Any]:
    """The configuration table of a run. Raises CheckpointError when there is none."""
    path = folder / CONFIG_FILE
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{folder} is not a run folder: {error}") from error
    if not isinstance(table, dict):
        raise CheckpointError(f"{path} does not hold a table")
    return table


def append_metrics(folder: Path, row: Mapping[str, Any]) -> None:
    """Adds one line of JSON to the run's metrics."""
    with (folder / METRICS_FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def prefixed(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same tensors under `prefix.`; `RunState.group` undoes it."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def pack_optimizer(optimizer: torch.optim.Optimizer) -> RunState:
    """An optimiser's state as tensors `<parameter index>.<name>` and JSON values."""
    state = optimizer.state_dict()
    tensors: dict[str, torch.Tensor] = {}
    numbers: dict[str, Any] = {}
    for index, entries in state["state"].items():
        for name, value in entries.items():
            kind = tensors if isinstance(value, torch.Tensor) else numbers
            kind[f"{index}.{name}"] = value
    return RunState(tensors, {"numbers": numbers, "groups": state["param_groups"]})


def unpack_optimizer(optimizer: torch.optim.Optimizer, packed: RunState) -> None:
    """Puts a packed state back. Raises CheckpointError when it is another optimiser's."""
    entries: dict[int, dict[str, Any]] = {}
    for key, value in {**packed.tensors, **packed.values["numbers"]}.items():
        index, name = key.split(".", 1)
        entries.setdefault(int(index), {})[name] = value
    try:
        optimizer.load_state_dict({"state": entries, "param_groups": packed.values["groups"]})
    except (ValueError, KeyError) as error:
        raise CheckpointError(f"the stored optimiser does not fit this model: {error}") from error


def random_state() -> dict[str, torch.Tensor]:
    """The state of torch's CPU generator, as tensors to save."""
    return {"torch_cpu": torch.get_rng_state()}


def restore_random_state(tensors: Mapping[str, torch.Tensor]) -> None:
    """Undoes `random_state`."""
    torch.set_rng_state(tensors["torch_cpu"])


def _flush_and_replace(part: Path, path: Path) -> None:
    descriptor = os.open(part, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(part, path)
