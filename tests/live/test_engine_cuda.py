"""The engine on a GPU, where blocks of steps are captured graphs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from musicgen_rt.live.engine import Engine
from musicgen_rt.live.melody import melody_from_notes
from musicgen_rt.live.stepper import StepBlock, Stepper, StepResult
from musicgen_rt.model.kv_cache import CrossCache, KVCache
from musicgen_rt.model.musicgen import MusicGen
from musicgen_rt.model.notes import Note
from tests.live.conftest import SHORT

DEVICE = "cuda"
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]
TUNE = melody_from_notes([Note(60, 0.0, 0.5), Note(67, 0.5, 0.9)], loop_seconds=1.0)
END = 125


class Eager(Stepper):
    """The same steps without a graph."""

    @torch.inference_mode()
    def run(self, block: StepBlock, cache: KVCache, cross: CrossCache | None) -> StepResult:
        inputs = [None if t is None else t.to(self.lm.device) for t in block.tensors()]
        span = cache.span(block.first_position)
        tokens, is_finite = self._steps(inputs, span, cache, cross)
        return StepResult(tokens.cpu(), is_finite.cpu())


@pytest.fixture(scope="module")
def folders(tiny_text: Path, tiny_melody: Path, tiny_frame_conditioned: Path) -> dict[str, Path]:
    return {"text": tiny_text, "melody": tiny_melody, "frame": tiny_frame_conditioned}


def start(engine: Engine) -> Engine:
    engine.set_prompt("deep house")
    engine.set_prompt("warm strings", 1, weight=0.8, ramp_frames=20, at_frame=55)
    if engine.model.config.kind == "melody" or engine.model.conditioner is not None:
        engine.set_melody(TUNE)
    engine.set_parameter("cfg", 2.0, ramp_frames=30, at_frame=70)
    return engine


def play(engine: Engine, chunk: int) -> np.ndarray:
    while engine.next_frame < END:
        engine.step(min(chunk, END - engine.next_frame))
    return engine.codes(0, END - 3)


@pytest.mark.parametrize("weights", ["fp16", "bf16", "fp32"])
@pytest.mark.parametrize("name", ["text", "melody", "frame"])
def test_graphs_chunks_and_the_way_back(name: str, weights: str, folders: dict[str, Path]) -> None:
    model = MusicGen.load(str(folders[name]), device=DEVICE, weights=weights)
    engine = start(Engine(model, SHORT))
    expected = play(engine, 16)
    for frame in (110, 81, 57, 30):
        engine.rollback(frame)
        assert np.array_equal(play(engine, 7), expected), f"after going back to {frame}"
    eager = Engine(model, SHORT)
    eager.parts = replace(eager.parts, stepper=Eager(model.lm))
    eager.reset()
    assert np.array_equal(play(start(eager), 50), expected)


def test_a_change_is_as_if_it_had_been_planned(folders: dict[str, Path]) -> None:
    model = MusicGen.load(str(folders["text"]), device=DEVICE, weights="fp16")
    live, planned = start(Engine(model, SHORT)), start(Engine(model, SHORT))
    play(live, 10)
    for engine in (live, planned):
        engine.set_prompt("brass", 4, weight=0.5, at_frame=64)
        engine.clear_prompt(0, at_frame=90)
    assert np.array_equal(play(live, 10), play(planned, 16))


def test_a_snapshot_goes_on(folders: dict[str, Path], tmp_path: Path) -> None:
    model = MusicGen.load(str(folders["text"]), device=DEVICE, weights="fp16")
    engine = start(Engine(model, SHORT))
    engine.step(87)
    engine.snapshot(tmp_path / "here")
    expected = play(engine, 16)
    fresh = Engine(model, SHORT)
    fresh.restore(tmp_path / "here")
    assert np.array_equal(play(fresh, 10), expected)
