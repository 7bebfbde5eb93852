"""Frame conditioners in the running engine: at the very next step, and kept when windows roll."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.live.build import EngineOptions
from musicgen_rt.live.engine import Engine
from musicgen_rt.live.melody import melody_from_notes
from musicgen_rt.live.stepper import Stepper
from musicgen_rt.model.frame_conditioning import NO_CONDITIONS, FrameConditions
from musicgen_rt.model.musicgen import MusicGen
from musicgen_rt.model.notes import Note
from tests.live.conftest import SHORT
from tests.live.reference import Reference

PROMPT = "deep house"
TUNE = melody_from_notes([Note(60, 0.0, 0.5), Note(67, 0.5, 0.9)], loop_seconds=1.0)
WHOLE = EngineOptions(window_seconds=10.0, context_seconds=4.0)


@pytest.fixture(scope="module")
def model(tiny_frame_conditioned: Path) -> MusicGen:
    return MusicGen.load(str(tiny_frame_conditioned), device="cpu", weights="fp32")


@pytest.fixture(scope="module")
def reference(tiny_frame_conditioned: Path) -> Reference:
    """transformers ignores the conditioners' file beside the checkpoint."""
    return Reference(tiny_frame_conditioned)


def recorded(model: MusicGen, options: EngineOptions) -> tuple[Engine, list[Tensor]]:
    """An engine, and the logits [B, K, V] of its steps."""
    engine, seen = Engine(model, options), []

    def recording(*args: object) -> Tensor:
        seen.append(model.lm.step(*args).clone())  # type: ignore[arg-type]
        return seen[-1]

    engine.parts = replace(engine.parts, stepper=Stepper(model.lm, recording))
    engine.reset()
    engine.set_prompt(PROMPT)
    return engine, seen


def biased_logits(reference: Reference, tokens: Tensor, text: str | None, bias: Tensor) -> Tensor:
    """transformers' logits [S, K, V] with a bias [S, D] added beside the positions."""
    positions = reference.model.decoder.model.decoder.embed_positions
    hook = positions.register_forward_hook(lambda module, args, output: output + bias)
    try:
        return reference.logits(tokens, text)
    finally:
        hook.remove()


def test_zero_weights_are_the_plain_model(tiny_frame_conditioned: Path) -> None:
    model = MusicGen.load(str(tiny_frame_conditioned), device="cpu", weights="fp32")
    assert model.conditioner is not None
    for buffer in model.conditioner.buffers():
        buffer.zero_()
    plain_config = replace(model.config, frame_conditioning=None)
    plain = replace(model, conditioner=None, config=plain_config)
    made = []
    for one in (model, plain):
        engine = Engine(one, SHORT)
        engine.set_prompt(PROMPT)
        if one is model:
            engine.set_tempo(120.0)
            engine.set_melody(TUNE)
            engine.set_attribute("drums", True, at_frame=30)
        engine.set_parameter("seed", 4)
        timeline = Timeline.start(120.0)
        engine.session.stream.timeline = timeline  # both roll on the same bars
        engine.step(120)
        made.append(engine.codes(0, 117))
    assert np.array_equal(made[0], made[1])


CHANGES: list[Callable[[Engine, int], None]] = [
    lambda engine, frame: engine.set_attribute("drums", False, at_frame=frame),
    lambda engine, frame: engine.set_melody(TUNE, at_frame=frame),
    lambda engine, frame: engine.set_tempo(90.0, at_frame=frame),
]


@pytest.mark.parametrize("change", CHANGES, ids=["attribute", "melody", "tempo"])
def test_a_change_acts_at_the_very_next_step(
    change: Callable[[Engine, int], None], model: MusicGen
) -> None:
    engine, seen = recorded(model, WHOLE)
    engine.step(40)
    engine.rollback(33)
    unchanged = seen[33]
    prefills = []
    model.lm.prefill, prefill = lambda *a: prefills.append(a), model.lm.prefill  # type: ignore
    try:
        change(engine, 33)
        before = len(seen)
        engine.step(1)
    finally:
        del model.lm.prefill
    assert callable(prefill) and not prefills, "no prefill"
    steps = seen[before:]
    assert torch.equal(steps[-1][0], unchanged[0]), "the unconditional row keeps its nulls"
    assert float((steps[-1][1] - unchanged[1]).abs().max()) > 0.05


def test_the_step_that_makes_a_frame_has_its_conditions(
    model: MusicGen, reference: Reference
) -> None:
    engine, seen = recorded(model, WHOLE)
    engine.set_tempo(97.0, 3)
    engine.set_melody(TUNE, at_frame=10)
    engine.set_attribute("bass", True, at_frame=21)
    engine.step(60)
    timeline = Timeline.start(97.0, 3)
    asked = [
        FrameConditions(
            timeline.clock_at(frame),
            None if frame < 10 else int(TUNE.frame_classes(frame - 10, 1)),
            () if frame < 21 else (("bass", True),),
        )
        for frame in range(57)
    ]
    assert model.conditioner is not None
    tokens = reference.delayed(engine.codes(0, 56))
    conditioned = biased_logits(reference, tokens, PROMPT, model.conditioner(asked))
    null = model.conditioner([NO_CONDITIONS] * 57)
    unconditional = biased_logits(reference, tokens, None, null)
    found = torch.stack(seen[:57])
    scale = float(conditioned.abs().max())
    assert float((found[:, 1] - conditioned).abs().max()) <= 1e-4 * scale
    assert float((found[:, 0] - unconditional).abs().max()) <= 1e-4 * scale


def test_a_rolled_window_has_the_conditions_that_its_frames_were_made_under(
    model: MusicGen, reference: Reference
) -> None:
    """The attribute goes off at frame 35, and the window that opens at 45 reads from 25 on."""
    engine, seen = recorded(model, SHORT)
    engine.set_attribute("drums", True)
    engine.set_melody(TUNE, at_frame=5)
    engine.set_tempo(600.0, at_frame=25)  # bars of 20 frames
    engine.set_attribute("drums", None, at_frame=35)
    engine.step(64)
    window = engine.session.stream.windows[-1]
    start = window.start
    assert (start, window.since) == (25, 45)
    timeline = Timeline.start(600.0, frame=25)
    asked = [
        FrameConditions(
            timeline.clock_at(frame),
            int(TUNE.frame_classes(frame - 5, 1)),
            (("drums", True),) if frame < 35 else (),
        )
        for frame in range(start, 62)
    ]
    assert model.conditioner is not None
    tokens = reference.delayed(engine.codes(start, 61))
    expected = biased_logits(reference, tokens, PROMPT, model.conditioner(asked))
    scale = float(expected.abs().max())
    for diagonal in range(window.since, 62):
        found = seen[diagonal][1]
        assert float((found - expected[diagonal - start]).abs().max()) <= 1e-4 * scale


def test_without_a_prompt_the_conditions_are_still_guided(
    model: MusicGen, reference: Reference
) -> None:
    engine = Engine(model, WHOLE)
    engine.set_parameter("temperature", 0)
    engine.set_attribute("drums", True)
    engine.step(63)
    codes = engine.codes(0, 60)
    assert model.conditioner is not None
    asked = model.conditioner([FrameConditions(None, None, (("drums", True),))] * 61)
    null = model.conditioner([NO_CONDITIONS] * 61)
    tokens = reference.delayed(codes)
    plain, unconditional = (biased_logits(reference, tokens, None, b) for b in (asked, null))
    reference.assert_greedy(unconditional + 3 * (plain - unconditional), codes)
