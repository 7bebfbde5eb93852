"""A run from configuration to saved state: resuming, stopping, refusing."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from musicgen_rt.errors import CheckpointError, MusicgenRTError, ParameterError
from musicgen_rt.train import checkpointing
from musicgen_rt.train.codec import CodecTrainConfig, CodecTrainer, train_codec
from musicgen_rt.train.codec_model import CodecShape
from musicgen_rt.train.codec_optim import CodecOptimConfig, learning_rate_part
from musicgen_rt.train.codec_pool import ClipPool, ClipSource, PoolConfig
from musicgen_rt.train.codec_saved import load_codec
from musicgen_rt.train.config import read_config


def tone(seed: int) -> np.ndarray:
    time = np.arange(9600) / 32_000
    return (0.5 * np.sin(2 * np.pi * (100 + 10 * (seed % 50)) * time)).astype(np.float32)


def make_config(folder: Path, steps: int = 8, optimizer: str = "muon") -> CodecTrainConfig:
    return CodecTrainConfig(
        run_folder=str(folder),
        steps=steps,
        batch_rows=2,
        code_starts=(1, 2) if steps < 8 else (3, 6),
        threads=1,
        report_steps=2,
        shape=CodecShape(filters=2, latent_channels=4, codebooks=2, codebook_size=4),
        optim=CodecOptimConfig(optimizer=optimizer, warmup_steps=2),
        pool=PoolConfig(clips=4, clip_seconds=0.3, segment_seconds=0.1),
    )


def stop_at(step_seed: int) -> ClipSource:
    """A source that sends this process SIGTERM when it makes the clip of a seed."""
    sent: list[int] = []

    def source(seed: int) -> np.ndarray:
        if seed >= step_seed and not sent:
            sent.append(seed)
            os.kill(os.getpid(), signal.SIGTERM)
        return tone(seed)

    return source


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_a_stopped_and_resumed_run_ends_like_an_unbroken_one(
    tmp_path: Path, optimizer: str
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train_codec(make_config(whole, optimizer=optimizer), tone)
    handler = signal.getsignal(signal.SIGTERM)
    # The pool makes seed 1000005 for step 4, so the run stops when that step is done.
    train_codec(make_config(broken, optimizer=optimizer), stop_at(1_000_005))
    assert checkpointing.load_state(broken).values["step"] == 5
    assert signal.getsignal(signal.SIGTERM) is handler
    train_codec(make_config(broken, optimizer=optimizer), tone)
    ours, theirs = (checkpointing.load_state(folder).tensors for folder in (broken, whole))
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name


def test_training_lowers_the_loss_and_reports_it(tmp_path: Path) -> None:
    train_codec(make_config(tmp_path, steps=60), tone)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(2, 61, 2))
    assert "perplexity" in rows[-1]
    assert np.mean([row["waveform_mse"] for row in rows[-5:]]) < 0.9 * rows[0]["waveform_mse"]


def test_another_configuration_is_refused(tmp_path: Path) -> None:
    train_codec(make_config(tmp_path, steps=6), tone)
    with pytest.raises(ParameterError, match="steps"):
        train_codec(make_config(tmp_path, steps=7), tone)


def test_a_run_goes_on_with_more_threads_on_a_device_that_is_there(tmp_path: Path) -> None:
    config = make_config(tmp_path, steps=6)
    train_codec(config, stop_at(1_000_004))
    train_codec(replace(config, threads=2, save_seconds=9.0, report_steps=1), tone)
    assert checkpointing.load_state(tmp_path).values["step"] == 6
    absent = replace(config, device="cuda:99")
    with pytest.raises(ParameterError, match=r"'cuda:99' is not there: this machine has cpu"):
        train_codec(absent, tone)


def test_a_number_that_is_none_stops_the_run(tmp_path: Path) -> None:
    trainer = CodecTrainer(make_config(tmp_path), tone)
    with torch.no_grad():
        next(trainer.model.decoder.parameters()).fill_(float("nan"))
    with pytest.raises(MusicgenRTError, match="loss of step 0 is nan"):
        trainer.run_step()
    with pytest.raises(ParameterError, match=r"seed 1000000 .* not finite"):
        train_codec(make_config(tmp_path), lambda seed: np.full(9600, np.nan, dtype=np.float32))


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    train_codec(make_config(tmp_path, steps=6), tone)
    state = tmp_path / "state.safetensors"
    state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(CheckpointError, match=r"state\.safetensors"):
        load_codec(tmp_path)


def test_the_pool_depends_on_the_step_alone() -> None:
    config = PoolConfig(clips=4, clip_seconds=0.3, segment_seconds=0.1, steps_per_clip=2)
    walked = ClipPool(config, tone, 3200, first_seed=7)
    batches = [walked.batch(step, 3) for step in range(12)]
    jumped = ClipPool(config, tone, 3200, first_seed=7)
    assert torch.equal(jumped.batch(11, 3), batches[11])
    assert not torch.equal(batches[10], batches[11])
    assert batches[0].shape == (3, 1, 3200)
    with pytest.raises(ParameterError, match="at least 64000"):
        ClipPool(config, tone, 64_000, first_seed=7).batch(0, 1)


def test_toml_is_read_strictly(tmp_path: Path) -> None:
    path = tmp_path / "codec.toml"
    path.write_text('run_folder = "r"\nsteps = 400\n[shape]\nratios = [5, 4]\n[loss]\nmel = 1\n')
    config = read_config(path, CodecTrainConfig)
    assert (config.shape.ratios, config.loss.mel) == ((5, 4), 1.0)
    for text, message in [
        ('run_folder = "r"\nsteps = 400\n[shape]\nfilter = 3\n', r"unknown key shape\.filter"),
        ("steps = 400\n", "run_folder is missing"),
        ('run_folder = "r"\nsteps = "400"\n', "expected int"),
        ('run_folder = "r"\nsteps = 0\n', "steps is 0"),
        ('run_folder = "r"\nsteps = 400\nshape = 3\n', "expected a table"),
        ("steps = \n", "not valid TOML"),
    ]:
        path.write_text(text)
        with pytest.raises(ParameterError, match=message):
            read_config(path, CodecTrainConfig)


def test_the_learning_rate_warms_up_and_falls() -> None:
    config = CodecOptimConfig(warmup_steps=10, final_part=0.1)
    parts = [learning_rate_part(step, 110, config) for step in range(110)]
    assert parts[0] == pytest.approx(0.1)
    assert max(parts) == parts[9] == 1.0
    assert parts[60] == pytest.approx(0.55)
    assert parts[109] == pytest.approx(0.1, abs=0.001)
