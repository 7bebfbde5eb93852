"""Exported runs in transformers and in the engine."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from musicgen_rt.errors import CheckpointError
from musicgen_rt.live.build import EngineOptions
from musicgen_rt.live.engine import Engine
from musicgen_rt.model.musicgen import MusicGen
from musicgen_rt.model.text_attributes import TextAttributes
from musicgen_rt.train.lm import LMTrainer, train_lm
from musicgen_rt.train.lm_config import ConditionShape, LMOptimConfig, LoraConfig
from musicgen_rt.train.lm_export import GuidanceShape, export_objective, export_run
from musicgen_rt.train.lm_foundation import load_foundation
from musicgen_rt.train.lm_objective import build_objective
from musicgen_rt.train.lm_processes import Processes
from tests.live.reference import Reference
from tests.train.full_disk import largest_file
from tests.train.lm_tiny import tiny_run, write_clips

TEXT = "house, 110 bpm"
FRAMES = 60
NONE = ConditionShape(clock=False, chroma=False, attributes=())
# Weights that move far, so that tokens depend on all of them.
QUICK = LMOptimConfig(warmup_steps=1, learning_rate=3e-2, muon_learning_rate=5e-2)


def engine_codes(folder: Path, cfg: float) -> np.ndarray:
    engine = Engine.load(
        str(folder),
        device="cpu",
        weights="fp32",
        options=EngineOptions(window_seconds=4.0, context_seconds=2.0),
    )
    engine.set_prompt(TEXT)
    engine.set_parameter("temperature", 0)
    engine.set_parameter("cfg", cfg)
    engine.step(FRAMES + 10)
    return engine.codes(0, FRAMES)


def test_a_new_model_plays_the_same_in_transformers_and_here(tmp_path: Path) -> None:
    train_lm(tiny_run(tmp_path, conditions=NONE, optim=QUICK, steps=8))
    out = tmp_path / "exported"
    assert export_run(tmp_path / "run", out) == 8
    reference = Reference(out)
    for cfg in (1.0, 3.0):
        expected = reference.generate(TEXT, FRAMES, guidance_scale=cfg)
        assert len(np.unique(expected)) > 2, "the reference must not be stuck"
        assert np.array_equal(engine_codes(out, cfg), expected)
    with pytest.raises(CheckpointError, match="not an empty folder"):
        export_run(tmp_path / "run", out)
    with pytest.raises(CheckpointError, match="has no clock"):
        export_run(tmp_path / "run", tmp_path / "another", guidance=GuidanceShape(0.5))
    with pytest.raises(CheckpointError, match=r"names drums and .* has none"):
        export_run(tmp_path / "run", tmp_path / "another", guidance=GuidanceShape(0, ("drums",)))


def test_the_conditioners_lie_beside_a_checkpoint_that_transformers_loads(tmp_path: Path) -> None:
    train_lm(tiny_run(tmp_path, optim=QUICK))
    export_run(tmp_path / "run", tmp_path / "out", torch.float16)
    reference = Reference(tmp_path / "out")
    loaded = MusicGen.load(str(tmp_path / "out"), device="cpu", weights="fp32")
    assert loaded.conditioner is not None
    weights = load_file(tmp_path / "out/model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
    for name, tensor in reference.model.state_dict().items():
        if name in weights:
            assert torch.equal(tensor, weights[name].float()), name
    asked = TextAttributes.load(tmp_path / "out").predict(TEXT)
    assert 40 <= asked["bpm"] <= 220 and 0 <= asked["bpm_confidence"] <= 1
    assert set(asked["instruments"]) == {"drums", "bass", "pad", "keys", "lead"}


def test_a_decoder_that_was_tuned_since_takes_the_place_of_the_runs(tmp_path: Path) -> None:
    config = tiny_run(tmp_path, conditions=NONE, optim=QUICK)
    train_lm(config)
    tuned, retrained = tmp_path / "tuned", tmp_path / "retrained"
    changed = {tuned: "decoder.layers.0.conv.bias", retrained: "quantizer.layers.0.codebook.embed"}
    for folder, name in changed.items():
        shutil.copytree(config.codec, folder)
        tensors = load_file(folder / "model.safetensors")
        tensors[name] += 1.0
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    export_run(tmp_path / "run", tmp_path / "before")
    export_run(tmp_path / "run", tmp_path / "after", codec=tuned)
    before, after = (load_file(tmp_path / one / "model.safetensors") for one in ("before", "after"))
    assert before.keys() == after.keys()
    name = f"audio_encoder.{changed[tuned]}"
    assert {one for one in before if not torch.equal(before[one], after[one])} == {name}
    assert torch.equal(after[name], before[name] + 1.0)
    with pytest.raises(CheckpointError, match=r"another quantizer\.layers\.0\.codebook\.embed"):
        export_run(tmp_path / "run", tmp_path / "never", codec=retrained)


def test_weights_in_shards_are_the_same_weights(tmp_path: Path) -> None:
    train_lm(tiny_run(tmp_path, conditions=NONE, optim=QUICK))
    export_run(tmp_path / "run", tmp_path / "whole")
    export_run(tmp_path / "run", tmp_path / "shards", shard_bytes=200_000)
    files = sorted((tmp_path / "shards").glob("model-*.safetensors"))
    assert len(files) > 1
    assert all(file.stat().st_size < 250_000 for file in files)
    whole, shards = Reference(tmp_path / "whole"), Reference(tmp_path / "shards")
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, shards.model.state_dict()[name]), name
    assert np.array_equal(
        engine_codes(tmp_path / "shards", 3.0), engine_codes(tmp_path / "whole", 3.0)
    )


def test_a_full_disk_leaves_no_half_of_a_checkpoint(tmp_path: Path) -> None:
    train_lm(tiny_run(tmp_path, conditions=NONE, optim=QUICK))
    there = set(tmp_path.iterdir())
    # The small files fit, the weights do not.
    with largest_file(20_000), pytest.raises(CheckpointError, match=r"out cannot be .*make room"):
        export_run(tmp_path / "run", tmp_path / "out")
    assert set(tmp_path.iterdir()) == there
    assert export_run(tmp_path / "run", tmp_path / "out") == 6


def test_low_rank_updates_are_merged(tiny_text: Path, tmp_path: Path) -> None:
    config = tiny_run(
        tmp_path,
        start=str(tiny_text),
        data=str(write_clips(tmp_path / "clips", codes=64)),
        tune="lora",
        lora=LoraConfig(rank=3, scale=2.0),
        conditions=NONE,
        text_weight=0.0,
        optim=replace(QUICK, optimizer="adamw"),
    )
    foundation = load_foundation(config)
    trainer = LMTrainer(config, foundation, Processes(0, 1, torch.device("cpu")))
    for _ in range(4):
        trainer.run_step()
    model = trainer.objective.model.eval()
    export_objective(trainer.objective, foundation, tmp_path / "out")
    tokens = torch.randint(64, (1, 4, 20), generator=torch.Generator().manual_seed(0))
    ids = torch.tensor([[byte + 3 for byte in TEXT.encode()] + [1]])
    mask = torch.ones_like(ids, dtype=torch.bool)
    with torch.no_grad():
        ours = model(tokens, model.encode_text(ids, mask), mask, None)[0]
    assert torch.allclose(Reference(tmp_path / "out").logits(tokens[0], TEXT), ours, atol=1e-3)
    assert not torch.allclose(Reference(tiny_text).logits(tokens[0], TEXT), ours, atol=0.1)


def test_an_adapter_is_exported_onto_its_untouched_base(tiny_text: Path, tmp_path: Path) -> None:
    config = tiny_run(
        tmp_path,
        start=str(tiny_text),
        data=str(write_clips(tmp_path / "clips", codes=64)),
        tune="adapter",
        text_weight=0.0,
    )
    train_lm(config)
    export_run(tmp_path / "run", tmp_path / "out")
    base, tuned = (
        load_file(folder / "model.safetensors") for folder in (tiny_text, tmp_path / "out")
    )
    assert base.keys() == tuned.keys()
    for name, tensor in base.items():
        assert torch.equal(tensor, tuned[name]), name
    loaded = MusicGen.load(str(tmp_path / "out"), device="cpu", weights="fp32")
    assert loaded.config.frame_conditioning == config.conditions.to_model()
    # And it can be tuned further, which does not change what the unconditional row is told.
    export_run(tmp_path / "run", tmp_path / "shared", guidance=GuidanceShape(0.25, ("drums",)))
    again = replace(config, start=str(tmp_path / "shared"), run_folder=str(tmp_path / "again"))
    train_lm(again)
    export_run(tmp_path / "again", tmp_path / "onwards")
    for name in ("shared", "onwards"):
        conditioning = MusicGen.load(str(tmp_path / name), device="cpu").config.frame_conditioning
        assert conditioning is not None and conditioning.unconditional_clock == 0.25
        assert conditioning.negative_attributes == ("drums",)
    # Also with attributes that it had no conditioners for: they start beside what was learned.
    more = ConditionShape(attributes=(*config.conditions.attributes, "keys", "house"))
    wider = replace(again, conditions=more, run_folder=str(tmp_path / "wider"))
    start = load_foundation(wider)
    model = build_objective(wider, start).model
    assert model.conditioner is not None and loaded.conditioner is not None
    tensors = model.conditioner.tensors()
    for name, tensor in tensors.items():
        if "keys" in name or "house" in name:
            assert tensor.abs().max() < 0.2
        else:
            assert torch.equal(tensor, loaded.conditioner.get_buffer(name.replace(".", "_")))
    train_lm(wider)
    export_run(tmp_path / "wider", tmp_path / "widened")
    widened = MusicGen.load(str(tmp_path / "widened"), device="cpu", weights="fp32")
    shared = more.to_model()
    assert shared is not None
    assert widened.config.frame_conditioning == replace(
        shared, unconditional_clock=0.25, negative_attributes=("drums",)
    )
    # Who names none goes on with those that are there.
    kept = load_foundation(replace(config, start=str(tmp_path / "widened")))
    assert kept.config.frame_conditioning == widened.config.frame_conditioning
    with pytest.raises(CheckpointError, match="what attributes you want to add"):
        load_foundation(replace(again, conditions=ConditionShape(attributes=("drums",))))
