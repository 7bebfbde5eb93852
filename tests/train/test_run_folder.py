"""A run's folder: what it refuses, what it mends, and that a full disk leaves the run whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from musicgen_rt.errors import CheckpointError, ParameterError
from musicgen_rt.train.checkpointing import RunState, load_state, open_run, save_state
from musicgen_rt.train.loss_plot import plot_run
from musicgen_rt.train.metrics import append_metrics, read_metrics
from musicgen_rt.train.whole_file import make_folder, write_atomically
from tests.train.full_disk import largest_file


def state(step: int, numbers: int = 4) -> RunState:
    return RunState({"model.weight": torch.full((numbers,), float(step))}, {"step": step})


def test_a_slip_in_the_configuration_can_be_mended_until_the_run_has_begun(tmp_path: Path) -> None:
    assert open_run(tmp_path / "run", {"data": "clipz", "steps": 4}) is None
    assert open_run(tmp_path / "run", {"data": "clips", "steps": 4}) is None
    save_state(tmp_path / "run", state(2))
    with pytest.raises(ParameterError, match="differs in: data"):
        open_run(tmp_path / "run", {"data": "clipz", "steps": 4})
    resumed = open_run(tmp_path / "run", {"data": "clips", "steps": 4})
    assert resumed is not None and resumed.values["step"] == 2


def test_free_settings_may_change_and_new_ones_were_not_set(tmp_path: Path) -> None:
    table = {"steps": 4, "device": "cuda", "shape": {"layers": 2}}
    open_run(tmp_path, table, ("device",))
    save_state(tmp_path, state(1))
    assert open_run(tmp_path, {**table, "device": "cpu", "newer": False}, ("device",)) is not None
    with pytest.raises(ParameterError, match="newer"):
        open_run(tmp_path, {**table, "newer": True}, ("device",))
    with pytest.raises(ParameterError, match="shape"):
        open_run(tmp_path, {**table, "shape": {"layers": 3}}, ("device",))


def test_steps_that_were_not_saved_are_not_counted_twice(tmp_path: Path) -> None:
    open_run(tmp_path, {})
    for step in (2, 4, 6):
        append_metrics(tmp_path, {"step": step, "loss": 1.0})
    save_state(tmp_path, state(4))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8, "lo')
    open_run(tmp_path, {}, writes=False)
    assert [row["step"] for row in read_metrics(tmp_path)] == [2, 4, 6]
    open_run(tmp_path, {})
    append_metrics(tmp_path, {"step": 6, "loss": 0.5})
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [2, 4, 6]


def test_a_run_without_a_state_begins_its_metrics_anew(tmp_path: Path) -> None:
    open_run(tmp_path, {})
    append_metrics(tmp_path, {"step": 0, "probe": 1.0})
    assert open_run(tmp_path, {}) is None
    assert read_metrics(tmp_path) == []


def test_a_full_disk_leaves_the_last_state_whole(tmp_path: Path) -> None:
    save_state(tmp_path, state(3))
    with largest_file(4096), pytest.raises(CheckpointError, match=r"state\.safetensors.*make room"):
        save_state(tmp_path, state(9, numbers=100_000))
    assert [path.name for path in tmp_path.iterdir()] == ["state.safetensors"]
    assert load_state(tmp_path).values["step"] == 3
    write_atomically(tmp_path / "text", "old")
    with largest_file(4096), pytest.raises(CheckpointError, match="make room"):
        write_atomically(tmp_path / "text", "new" * 4096)
    assert (tmp_path / "text").read_text() == "old"


def test_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ParameterError, match="cannot be made a folder"):
        make_folder(tmp_path / "file" / "run")
    open_run(tmp_path / "run", {"steps": 1})
    save_state(tmp_path / "run", state(1))
    (tmp_path / "run/config.json").write_text('{"steps": ')
    with pytest.raises(CheckpointError, match="not a run folder"):
        open_run(tmp_path / "run", {"steps": 1})


def test_curves_leave_out_what_is_no_number(tmp_path: Path) -> None:
    for step, loss in enumerate((3.0, float("nan"), 2.0)):
        append_metrics(tmp_path, {"step": step, "loss": loss})
    plot_run(tmp_path, tmp_path / "plots/loss.svg", ("loss", "other"))
    svg = (tmp_path / "plots/loss.svg").read_text()
    [line] = [line for line in svg.splitlines() if "<polyline" in line]
    assert line.split('points="')[1].split('"')[0].count(",") == 2 and "nan" not in svg
    with pytest.raises(CheckpointError, match=r"has none of \['mel'\]; it has loss, step"):
        plot_run(tmp_path, tmp_path / "never.svg", ("mel",))
