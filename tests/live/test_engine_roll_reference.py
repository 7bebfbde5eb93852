"""After a roll the model sees its context from position 0 on, as transformers does when told to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from musicgen_rt.live.engine import Engine
from musicgen_rt.live.melody import melody_from_notes
from musicgen_rt.live.stepper import Stepper
from musicgen_rt.model.notes import Note
from tests.live.conftest import EngineMaker
from tests.live.reference import Reference

PROMPT = "deep house"
CONTEXT, CAPACITY, ROLL = 20, 50, 80  # frames of the short window; its second roll


def recorded(engine: Engine) -> tuple[Engine, list[Tensor]]:
    """The engine with the logits [B, K, V] of every step kept."""
    seen: list[Tensor] = []
    step = engine.model.lm.step

    def recording(*args: object) -> Tensor:
        logits = step(*args)  # type: ignore[arg-type]
        seen.append(logits.clone())
        return logits

    engine.parts = replace(engine.parts, stepper=Stepper(engine.model.lm, recording))
    engine.reset()
    return engine, seen


def assert_window_equals(seen: list[Tensor], row: int, since: int, expected: Tensor) -> None:
    """Steps from `since` on against the reference's logits [S, K, V] from position CONTEXT on."""
    for diagonal in range(since, since + CAPACITY - CONTEXT):
        found, wanted = seen[diagonal][row], expected[CONTEXT + diagonal - since]
        assert float((found - wanted).abs().max()) <= 1e-4 * float(expected.abs().max())


@pytest.mark.parametrize("name", ["text", "stereo"])
def test_text(name: str, engine_of: EngineMaker, references: dict[str, Reference]) -> None:
    engine, seen = recorded(engine_of(name))
    engine.set_prompt(PROMPT)
    engine.step(115)
    assert engine.windows_rolled == 3
    start = ROLL - CONTEXT
    codes = engine.codes(start, start + CAPACITY)
    tokens = references[name].delayed(codes)
    assert (tokens[:, 0] == references[name].special).all()
    assert_window_equals(seen, 0, ROLL, references[name].logits(tokens, None))
    assert_window_equals(seen, 1, ROLL, references[name].logits(tokens, PROMPT))


def test_melody_goes_on_from_the_running_offset(
    engine_of: EngineMaker, references: dict[str, Reference]
) -> None:
    engine, seen = recorded(engine_of("melody"))
    reference = references["melody"]
    notes = [Note(60 + 7 * i % 12, i * 0.7, i * 0.7 + 0.6) for i in range(6)]
    melody = melody_from_notes(notes, loop_seconds=4.2)
    engine.set_prompt(PROMPT)
    engine.set_melody(melody, start_frame=0)
    engine.step(115)
    start = ROLL - CONTEXT
    tokens = reference.delayed(engine.codes(start, start + CAPACITY))
    chroma = melody.chroma_window(start, 235)
    assert not torch.equal(chroma, melody.chroma_window(0, 235))
    expected = reference.logits(tokens, PROMPT, chroma=chroma)
    assert_window_equals(seen, 1, ROLL, expected)
    length = len(reference.tokenizer(PROMPT).input_ids)
    assert_window_equals(seen, 0, ROLL, reference.logits(tokens, None, text_length=length))


def test_memory_comes_before_the_context(
    engine_of: EngineMaker, references: dict[str, Reference]
) -> None:
    engine, seen = recorded(engine_of("text"))
    engine.set_prompt(PROMPT)
    engine.step(40)
    engine.set_memory(5, 15)
    engine.step(50)
    window = engine.session.stream.windows[1]
    assert (window.start, window.since, window.memory_frames) == (30, 50, 15)
    codes = np.concatenate([engine.codes(5, 20), engine.codes(30, 65)], axis=1)
    expected = references["text"].logits(references["text"].delayed(codes), PROMPT)
    for diagonal in range(50, 65):
        found, wanted = seen[diagonal][1], expected[15 + diagonal - 30]
        assert float((found - wanted).abs().max()) <= 1e-4 * float(expected.abs().max())


def test_a_melody_fits_the_context_behind_a_memory(
    engine_of: EngineMaker, references: dict[str, Reference]
) -> None:
    engine, seen = recorded(engine_of("melody"))
    reference = references["melody"]
    melody = melody_from_notes([Note(60 + i, i * 0.3, i * 0.3 + 0.3) for i in range(9)])
    engine.set_prompt(PROMPT)
    engine.set_melody(melody)
    engine.step(40)
    engine.set_memory(5, 15)
    engine.step(50)
    codes = np.concatenate([engine.codes(5, 20), engine.codes(30, 65)], axis=1)
    chroma = melody.chroma_window(30 - 15, 235)
    expected = reference.logits(reference.delayed(codes), PROMPT, chroma=chroma)
    for diagonal in range(50, 65):
        found, wanted = seen[diagonal][1], expected[15 + diagonal - 30]
        assert float((found - wanted).abs().max()) <= 1e-4 * float(expected.abs().max())


def test_rows_keep_their_own_past_when_others_come_and_go(
    engine_of: EngineMaker, references: dict[str, Reference]
) -> None:
    engine, seen = recorded(engine_of("text"))
    reference = references["text"]
    engine.set_prompt(PROMPT, 2)
    engine.set_prompt("warm strings", 0, at_frame=20)  # a row in between the two
    engine.clear_prompt(0, at_frame=30)
    engine.step(50)
    tokens = reference.delayed(engine.codes(0, 47))
    for prompt, rows in ((None, {10: 0, 25: 0, 40: 0}), (PROMPT, {10: 1, 25: 2, 40: 1})):
        expected = reference.logits(tokens, prompt)
        for diagonal, row in rows.items():
            difference = (seen[diagonal][row] - expected[diagonal]).abs().max()
            assert float(difference) <= 1e-4 * float(expected.abs().max())
    assert [len(seen[diagonal]) for diagonal in (19, 20, 29, 30)] == [2, 3, 3, 2]


def test_a_changed_prompt_keeps_the_past_as_it_was_read(
    engine_of: EngineMaker, references: dict[str, Reference]
) -> None:
    """Within a window a swap acts on new positions; the next window is read under it alone."""
    engine, seen = recorded(engine_of("text"))
    reference = references["text"]
    engine.set_prompt(PROMPT)
    engine.set_prompt("warm strings", at_frame=35)
    engine.step(115)
    tokens = reference.delayed(engine.codes(30, 80))
    assert_window_equals(seen, 1, 50, reference.logits(tokens, "warm strings"))
    first = reference.delayed(engine.codes(0, 50))
    before, after = (reference.logits(first, prompt) for prompt in (PROMPT, "warm strings"))
    scale = float(before.abs().max())
    assert float((seen[34][1] - before[34]).abs().max()) <= 1e-4 * scale
    assert float((seen[35][1] - before[35]).abs().max()) > 0.01 * scale
    assert float((seen[35][1] - after[35]).abs().max()) > 1e-4 * scale
