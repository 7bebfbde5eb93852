"""Guidance over several prompts, a negative prompt and a melody, against the formulas.

The formulas are evaluated on transformers' forward passes, one for each condition.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from musicgen_rt.live.build import EngineOptions
from musicgen_rt.live.engine import Engine
from musicgen_rt.live.melody import Melody, melody_from_notes
from musicgen_rt.live.sampling import gumbel_noise
from musicgen_rt.model.notes import Note
from tests.live.conftest import EngineMaker
from tests.live.reference import Reference

FRAMES = 120
WHOLE = EngineOptions(window_seconds=10.0, context_seconds=4.0)
HOUSE, STRINGS, NOISE = "deep house", "warm strings", "noise and hum"

Logits = Callable[..., Tensor]


def greedy(engine: Engine) -> np.ndarray:
    engine.set_parameter("temperature", 0)
    while engine.next_frame < FRAMES + 3:
        engine.step(41)
    return engine.codes(0, FRAMES)


@pytest.fixture
def engine(engine_of: EngineMaker) -> Engine:
    return engine_of("text", WHOLE)


@pytest.fixture
def text(references: dict[str, Reference]) -> Reference:
    return references["text"]


def check(reference: Reference, codes: np.ndarray, formula: Callable[[Logits], Tensor]) -> None:
    tokens = reference.delayed(codes)

    def logits(prompt: str | None, **options: Tensor | int) -> Tensor:
        return reference.logits(tokens, prompt, **options)  # type: ignore[arg-type]

    reference.assert_greedy(formula(logits), codes)


def test_two_prompts_with_weights(engine: Engine, text: Reference) -> None:
    engine.set_prompt(HOUSE, 0, weight=0.7)
    engine.set_prompt(STRINGS, 5, weight=0.3)
    engine.set_parameter("cfg", 2.5)

    def formula(f: Logits) -> Tensor:
        u = f(None)
        return u + 0.7 * 2.5 * (f(HOUSE) - u) + 0.3 * 2.5 * (f(STRINGS) - u)

    check(text, greedy(engine), formula)


def test_weights_that_do_not_add_up_to_one(engine: Engine, text: Reference) -> None:
    engine.set_prompt(HOUSE, 1, weight=1.5)
    engine.set_prompt(STRINGS, 2, weight=-0.5)
    engine.set_prompt(NOISE, 3, weight=0.0)

    def formula(f: Logits) -> Tensor:
        u = f(None)
        return u + 1.5 * 3 * (f(HOUSE) - u) - 0.5 * 3 * (f(STRINGS) - u)

    check(text, greedy(engine), formula)


def test_a_token_is_drawn_with_the_noise_of_its_own_diagonal(
    engine: Engine, text: Reference
) -> None:
    engine.set_prompt(HOUSE)
    engine.set_parameter("seed", 77)
    engine.set_parameter("temperature", 1.3)
    engine.set_parameter("top_k", 0)
    while engine.next_frame < FRAMES + 3:
        engine.step(41)
    codes = engine.codes(0, FRAMES)
    tokens = text.delayed(codes)
    guided = text.logits(tokens, None)
    guided = guided + 3 * (text.logits(tokens, HOUSE) - guided)
    noise = gumbel_noise(77, range(len(guided)), 4, guided.shape[-1])
    text.assert_greedy(guided / 1.3 + torch.from_numpy(noise), codes)


def test_a_negative_prompt_takes_the_unconditional_place(engine: Engine, text: Reference) -> None:
    engine.set_prompt(HOUSE)
    engine.set_negative_prompt(NOISE)
    check(text, greedy(engine), lambda f: f(NOISE) + 3 * (f(HOUSE) - f(NOISE)))


def test_a_negative_prompt_alone_is_moved_away_from(engine: Engine, text: Reference) -> None:
    engine.set_negative_prompt(NOISE)
    check(text, greedy(engine), lambda f: f(NOISE) + 3 * (f(None) - f(NOISE)))


def test_no_prompt_is_unconditional(engine: Engine, text: Reference) -> None:
    check(text, greedy(engine), lambda f: f(None))


@pytest.mark.parametrize("cfg", [0.0, 0.5, 1.0])
def test_little_guidance(cfg: float, engine: Engine, text: Reference) -> None:
    engine.set_prompt(HOUSE)
    engine.set_parameter("cfg", cfg)
    check(text, greedy(engine), lambda f: f(None) + cfg * (f(HOUSE) - f(None)))


def test_guidance_of_the_checkpoint_is_the_default(engine: Engine, text: Reference) -> None:
    assert text.model.generation_config.guidance_scale == 3.0
    engine.set_prompt(HOUSE)
    check(text, greedy(engine), lambda f: f(None) + 3 * (f(HOUSE) - f(None)))


def tune() -> tuple[Melody, Tensor]:
    """A melody of long notes and its chroma [235, 12] in a window that begins with it."""
    notes = [Note(60 + 5 * i % 12, i * 1.28, (i + 1) * 1.28) for i in range(4)]
    classes = torch.tensor([(5 * (i // 10 % 4)) % 12 for i in range(235)])
    return melody_from_notes(notes, loop_seconds=4 * 1.28), classes


def chroma_of(melody: Melody, reference: Reference) -> Tensor:
    chroma = melody.chroma_window(0, reference.model.config.chroma_length)
    _, classes = tune()
    # The melody's own tests compare chroma with the extractor; here only the notes' middles.
    middles = torch.arange(5, 235, 10)
    assert torch.equal(chroma.argmax(-1)[middles], classes[middles])
    return chroma


@pytest.mark.parametrize("beta", [1.0, 5.0, 0.5])
def test_double_guidance_of_text_over_a_melody(
    beta: float, engine_of: EngineMaker, references: dict[str, Reference]
) -> None:
    engine, reference = engine_of("melody", WHOLE), references["melody"]
    melody, _ = tune()
    engine.set_prompt(HOUSE)
    engine.set_melody(melody)
    engine.set_parameter("cfg_melody", beta)
    engine.set_parameter("cfg", 2.0)
    length = len(reference.tokenizer(HOUSE).input_ids)
    chroma = chroma_of(melody, reference)

    def formula(f: Logits) -> Tensor:
        unconditional = f(None, text_length=length)
        alone = f(None, chroma=chroma, text_length=length)
        both = f(HOUSE, chroma=chroma)
        return unconditional + 2.0 * (alone + beta * (both - alone) - unconditional)

    check(reference, greedy(engine), formula)


@pytest.mark.parametrize("has_prompt", [False, True])
def test_a_melody_without_text(
    has_prompt: bool, engine_of: EngineMaker, references: dict[str, Reference]
) -> None:
    engine, reference = engine_of("melody", WHOLE), references["melody"]
    melody, _ = tune()
    engine.set_melody(melody)
    if has_prompt:  # one that does not count is not computed, and pads nothing
        engine.set_prompt(HOUSE)
        engine.set_parameter("cfg_melody", 0.0)
    chroma = chroma_of(melody, reference)

    def formula(f: Logits) -> Tensor:
        null = f(None, text_length=0)
        return null + 3 * (f(None, chroma=chroma, text_length=0) - null)

    check(reference, greedy(engine), formula)


def test_prompts_of_different_length_are_padded_with_null(
    engine_of: EngineMaker, references: dict[str, Reference]
) -> None:
    engine, reference = engine_of("melody", WHOLE), references["melody"]
    engine.set_prompt(HOUSE, 0, weight=0.5)
    engine.set_prompt(STRINGS, 1, weight=0.5)
    length = max(len(reference.tokenizer(prompt).input_ids) for prompt in (HOUSE, STRINGS))

    def formula(f: Logits) -> Tensor:
        u, one, two = (f(prompt, text_length=length) for prompt in (None, HOUSE, STRINGS))
        return u + 0.5 * 3 * (one - u) + 0.5 * 3 * (two - u)

    check(reference, greedy(engine), formula)
