"""Runs of the language model's trainer: resuming, learning, stopping, tuning."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from musicgen_rt.errors import MusicgenRTError, ParameterError
from musicgen_rt.model.checkpoint import Checkpoint
from musicgen_rt.train import checkpointing
from musicgen_rt.train.lm import LMTrainer, train_lm
from musicgen_rt.train.lm_config import (
    BatchConfig,
    ConditionShape,
    DropConfig,
    LMOptimConfig,
    LMTrainConfig,
    LoraConfig,
)
from musicgen_rt.train.lm_foundation import load_foundation
from musicgen_rt.train.lm_processes import Processes, own_device
from tests.train.lm_tiny import tiny_run, write_clips

ALONE = Processes(0, 1, torch.device("cpu"))


def trainer_of(config: LMTrainConfig) -> LMTrainer:
    return LMTrainer(config, load_foundation(config), ALONE)


def metrics(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "run/metrics.jsonl").read_text().splitlines()]


def test_a_frozen_text_encoder_learns_from_texts_alone(tmp_path: Path) -> None:
    trainer = trainer_of(tiny_run(tmp_path, text_warmup_steps=1, freezes_text=True))

    def texts() -> dict[str, torch.Tensor]:
        parts = ("model.text_encoder.", "heads.")
        named = trainer.objective.named_parameters()
        return {n: p.detach().clone() for n, p in named if n.startswith(parts)}

    def moved(before: dict[str, torch.Tensor]) -> list[str]:
        return [name for name, now in texts().items() if not torch.equal(now, before[name])]

    start = texts()
    trainer.run_step()
    assert moved(start), "the warm-up moves them"
    warm = texts()
    decoder = [p.detach().clone() for p in trainer.objective.model.decoder.parameters()]
    trainer.run_step()
    assert not moved(warm)
    now = list(trainer.objective.model.decoder.parameters())
    assert not all(torch.equal(p, old) for p, old in zip(now, decoder, strict=True))
    with pytest.raises(ParameterError, match="text_warmup_steps is 0"):
        tiny_run(tmp_path, freezes_text=True)


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_a_resumed_step_is_the_one_that_would_have_come(tmp_path: Path, optimizer: str) -> None:
    config = tiny_run(
        tmp_path,
        text_warmup_steps=2,
        optim=LMOptimConfig(optimizer=optimizer, warmup_steps=2),
    )
    whole = trainer_of(config)
    for _ in range(4):
        whole.run_step()
    folder = tmp_path / "state"
    folder.mkdir()
    checkpointing.save_state(folder, whole.state())
    resumed = trainer_of(config)
    resumed.restore(checkpointing.load_state(folder))
    for _ in range(2):
        assert resumed.run_step() == whole.run_step()
    ours, theirs = resumed.state().tensors, whole.state().tensors
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name


def test_a_stop_signal_ends_a_run_cleanly_and_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_run(tmp_path, validation=str(write_clips(tmp_path / "held")), validate_steps=4)
    step = LMTrainer.run_step

    def stopping(trainer: LMTrainer) -> dict[str, float]:
        if trainer.step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(trainer)

    monkeypatch.setattr(LMTrainer, "run_step", stopping)
    train_lm(config)
    assert checkpointing.load_state(tmp_path / "run").values["step"] == 3
    monkeypatch.undo()
    # Where and how often it is saved may change.
    train_lm(replace(config, save_seconds=1.0))
    assert checkpointing.load_state(tmp_path / "run").values["step"] == 6
    rows = metrics(tmp_path)
    assert [row["step"] for row in rows if "loss" in row] == [2, 4, 6]
    assert {"loss_0", "loss_3", "gradient_norm", "text_bpm"} <= set(rows[0])
    held_out = [row for row in rows if "validation_loss" in row]
    assert [row["step"] for row in held_out] == [4, 6]
    assert held_out[0]["validation_free_loss"] > 0
    with pytest.raises(ParameterError, match="steps"):
        train_lm(replace(config, steps=7))


def test_it_learns_two_clips_by_heart(tmp_path: Path) -> None:
    config = tiny_run(
        tmp_path,
        data=str(write_clips(tmp_path / "two", 2, frames=44)),
        steps=40,
        batch=BatchConfig(rows=8, window_frames=40),
        drop=DropConfig(0, 0, 0, 0, 0, 0),
        optim=LMOptimConfig(warmup_steps=4, learning_rate=1e-2, muon_learning_rate=2e-2),
    )
    trainer = trainer_of(config)
    losses = [trainer.run_step()["loss"] for _ in range(40)]
    # Codes are noise of 16 values: nothing but the clip itself says what comes, log 16 = 2.77.
    assert 2.6 < losses[0] < 3.2
    assert losses[-1] < 0.7 * losses[0]


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    trainer = trainer_of(tiny_run(tmp_path))
    with torch.no_grad():
        trainer.objective.model.decoder.layer_norm.weight.fill_(torch.nan)
    with pytest.raises(MusicgenRTError, match="loss of step 0 is nan"):
        trainer.run_step()


def test_codes_of_another_codec_and_bad_combinations_are_refused(tmp_path: Path) -> None:
    config = tiny_run(tmp_path, data=str(write_clips(tmp_path / "two", codebooks=2)))
    with pytest.raises(ParameterError, match="2 codebooks, the model has 4"):
        trainer_of(config)
    refused: list[tuple[dict[str, Any], str]] = [
        ({"start": "x"}, "expected one of them"),
        ({"codec": ""}, "expected one of them"),
        ({"tune": "lora"}, "no base"),
        ({"tune": "half"}, "allowed: full, lora, adapter"),
    ]
    for changes, message in refused:
        with pytest.raises(ParameterError, match=message):
            replace(config, **changes)
    with pytest.raises(ParameterError, match=r"lora\.rank is 0"):
        replace(config, codec="", start="x", tune="lora")
    nothing = ConditionShape(clock=False, chroma=False, attributes=())
    with pytest.raises(ParameterError, match="names none"):
        replace(config, codec="", start="x", tune="adapter", conditions=nothing)


@pytest.mark.parametrize(
    ("tune", "rank", "trained_parts"),
    [
        ("adapter", 0, {"conditioner"}),
        ("adapter", 2, {"conditioner", "lora"}),
        ("lora", 2, {"lora"}),
        ("full", 0, {"decoder", "enc_to_dec_proj", "conditioner"}),
    ],
)
def test_tuning_a_checkpoint_moves_only_what_it_should(
    tiny_text: Path, tmp_path: Path, tune: str, rank: int, trained_parts: set[str]
) -> None:
    config = tiny_run(
        tmp_path,
        start=str(tiny_text),
        data=str(write_clips(tmp_path / "clips", codes=64)),
        tune=tune,
        lora=LoraConfig(rank=rank),
        text_weight=0.0,
    )
    trainer = trainer_of(config)
    before = {n: p.detach().clone() for n, p in trainer.objective.named_parameters()}
    for _ in range(3):
        trainer.run_step()
    moved = set()
    for name, parameter in trainer.objective.named_parameters():
        if not torch.equal(parameter, before[name]):
            is_lora = name.endswith((".up", ".down"))
            moved.add("lora" if is_lora else name.split(".")[1])
    assert moved == trained_parts
    if tune != "full":
        base = trainer.objective.model.checkpoint_tensors()
        with Checkpoint.open(tiny_text) as checkpoint:
            stored = set(checkpoint.names())
            same = [n for n in base if n in stored and torch.equal(base[n], checkpoint.tensor(n))]
        # With low-rank updates the base lies one name deeper.
        assert len(same) > 20
        assert all(n in same for n in base if n in stored)


def test_an_adapter_starts_as_its_base_and_learns(tiny_text: Path, tmp_path: Path) -> None:
    config = tiny_run(
        tmp_path,
        start=str(tiny_text),
        data=str(write_clips(tmp_path / "two", 2, codes=64, frames=44)),
        tune="adapter",
        lora=LoraConfig(rank=4),
        batch=BatchConfig(rows=8, window_frames=40),
        drop=DropConfig(0, 0, 0, 0, 0, 0),
        optim=LMOptimConfig(
            optimizer="adamw", warmup_steps=2, learning_rate=1e-2, weight_decay=0.0
        ),
        steps=30,
    )
    trainer = trainer_of(config)
    losses = [trainer.run_step()["loss"] for _ in range(30)]
    assert losses[-1] < 0.8 * losses[0]


def test_each_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for device in ("cuda", "auto"):
        assert own_device(device, "1") == torch.device("cuda", 1)
    assert own_device("cuda:0", "1") == torch.device("cuda", 0)
    assert own_device("cpu", "1") == torch.device("cpu")
    with pytest.raises(ParameterError, match="'cuda:2' is not there"):
        own_device("cuda", "2")


# Both import torch anew, which takes a while on a busy machine.
@pytest.mark.timeout(240)
def test_two_processes_share_their_gradients(tmp_path: Path) -> None:
    config = tiny_run(tmp_path, text_warmup_steps=1, steps=2)
    # A server that imported everything once; torchrun's environment, by hand.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["musicgen_rt.train.lm", "tests.train.test_lm_run"])
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    workers = [
        context.Process(target=work_as, args=(config, index, port, tmp_path)) for index in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(200)
        assert worker.exitcode == 0
    weights = [load_file(tmp_path / f"weights-{index}.safetensors") for index in range(2)]
    for name, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][name]), name
    assert checkpointing.load_state(tmp_path / "run").values["step"] == 3


def work_as(config: LMTrainConfig, index: int, port: int, folder: Path) -> None:
    """Runs as process `index` of two, and writes the weights that it ends with."""
    os.environ |= {
        "WORLD_SIZE": "2",
        "RANK": str(index),
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": str(port),
    }
    trainers: list[LMTrainer] = []
    step = LMTrainer.run_step

    def remembering(trainer: LMTrainer) -> dict[str, float]:
        trainers[:] = [trainer]
        return step(trainer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LMTrainer, "run_step", remembering)
        train_lm(config)
    weights = {n: t for n, t in trainers[0].state().tensors.items() if n.startswith("model.")}
    save_file(weights, folder / f"weights-{index}.safetensors")
