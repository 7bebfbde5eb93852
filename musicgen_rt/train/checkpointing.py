"""The state of a training run on disk: safetensors, written atomically, and what lies beside it.

A run folder holds `config.json`, `state.safetensors` (what resuming needs) and
`metrics.jsonl`. Nothing in it is pickled, so a run from elsewhere cannot execute code.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from musicgen_rt.errors import CheckpointError, ParameterError
from musicgen_rt.train.metrics import keep_metrics
from musicgen_rt.train.whole_file import make_folder, whole_file, write_atomically

STATE_FILE = "state.safetensors"
CONFIG_FILE = "config.json"
_METADATA_KEY = "musicgen_rt_state"
# No step comes before it: metrics of a run without a state are of a run that begins anew.
_BEFORE_ALL = -1


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


def save_state(folder: Path, state: RunState) -> None:
    """Writes the state into a run folder; the earlier one stays until the new one is whole.

    Raises CheckpointError when it cannot be written, as on a full disk.
    """
    tensors = {name: tensor.detach().contiguous() for name, tensor in state.tensors.items()}
    with whole_file(folder / STATE_FILE) as part:
        save_file(tensors, part, metadata={_METADATA_KEY: json.dumps(state.values)})


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


def open_run(
    folder: Path,
    config: Mapping[str, Any],
    free_keys: Collection[str] = (),
    *,
    writes: bool = True,
) -> RunState | None:
    """Makes a run folder, or finds one to go on with; None stands for a new run.

    The values of `free_keys` may differ from part to part of a run and are not kept. A folder in
    which nothing but a configuration was written, as when that named a folder that is not there,
    takes another one. Metrics of steps that a stopped run did not save are dropped, since they come
    again. With `writes` False, for all processes but one, nothing is written.

    Raises ParameterError when the folder holds a run with another configuration, whose schedule and
    shapes would not fit, or cannot be made, and CheckpointError when what it holds is damaged.
    """
    wanted = _kept(json.loads(json.dumps(config)), free_keys)
    if writes:
        make_folder(folder)
        _settle_config(folder, wanted, free_keys)
    state = load_state(folder) if (folder / STATE_FILE).exists() else None
    if writes:
        keep_metrics(folder, _BEFORE_ALL if state is None else int(state.values["step"]))
    return state


def read_run_config(folder: Path) -> dict[str, Any]:
    """The configuration table of a run. Raises CheckpointError when there is none."""
    path = folder / CONFIG_FILE
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder} is not a run folder: {error}") from error
    if not isinstance(table, dict):
        raise CheckpointError(f"{path} does not hold a table")
    return table


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


def _settle_config(folder: Path, wanted: dict[str, Any], free_keys: Collection[str]) -> None:
    """Writes the configuration of a run that has not begun; one that has must have the same."""
    own = (CONFIG_FILE, f"{CONFIG_FILE}.part")
    has_begun = any(path.name not in own for path in folder.iterdir())
    if (folder / CONFIG_FILE).exists() and has_begun:
        stored = _kept(read_run_config(folder), free_keys)
        # A setting that is newer than the run was not there to be set.
        keys = sorted(
            key
            for key in {*stored, *wanted}
            if stored.get(key) != wanted.get(key) and (key in stored or wanted[key])
        )
        if keys:
            raise ParameterError(
                f"the run {folder} was started with another configuration (differs in: "
                f"{', '.join(keys)}); name another folder, or restore the values"
            )
        return
    write_atomically(folder / CONFIG_FILE, json.dumps(wanted, indent=2) + "\n")


def _kept(table: Mapping[str, Any], free_keys: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in table.items() if name not in free_keys}
