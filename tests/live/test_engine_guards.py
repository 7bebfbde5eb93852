"""A model that makes NaN: nothing of it is heard, and the engine lives on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from musicgen_rt.errors import NonFiniteError
from musicgen_rt.live.engine import Engine
from musicgen_rt.model.musicgen import MusicGen
from tests.live.conftest import SHORT, EngineMaker

END = 120


@pytest.fixture(scope="module")
def model(tiny_text: Path) -> MusicGen:
    """A model of its own, to be damaged."""
    return MusicGen.load(str(tiny_text), device="cpu", weights="fp32")


@pytest.fixture
def engine(model: MusicGen) -> Engine:
    engine = Engine(model, SHORT)
    engine.set_prompt("deep house")
    return engine


@contextmanager
def damaged(tensor: Tensor, row: int, value: float = float("nan")) -> Iterator[None]:
    kept = tensor[row].clone()
    tensor[row] = value
    try:
        yield
    finally:
        tensor[row] = kept


def play(engine: Engine, end: int = END, chunk: int = 10) -> None:
    while engine.next_frame < end:
        engine.step(min(chunk, end - engine.next_frame))


@pytest.fixture
def sound(model: MusicGen) -> np.ndarray:
    """What the undamaged model plays: codes [K, END - 3]."""
    engine = Engine(model, SHORT)
    engine.set_prompt("deep house")
    play(engine)
    return engine.codes(0, END - 3)


def first_with_a_new_token(codes: np.ndarray, after: int) -> int:
    """The first frame after `after` whose first code has not come before."""
    seen = codes[0].tolist()
    return next(f for f in range(after, len(seen)) if seen[f] not in seen[:f])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("after", [30, 81])
def test_logits(
    value: float, after: int, engine: Engine, model: MusicGen, sound: np.ndarray
) -> None:
    """A token is poisoned: the frame after the first one that has it cannot be made."""
    frame = first_with_a_new_token(sound, after)
    token = int(sound[0, frame])
    with damaged(model.lm.embeddings, token, value):
        with pytest.raises(NonFiniteError, match=f"logits at frame {frame + 1}") as failure:
            play(engine)
        assert (failure.value.where, failure.value.frame) == ("logits", frame + 1)
        assert engine.next_frame == frame + 1
        position = engine.next_sample
        with pytest.raises(NonFiniteError):
            engine.step(1)
        assert engine.next_sample == position, "nothing is emitted"
        engine.set_parameter("seed", 1, at_frame=frame - 4)
        chunk = engine.step(3)
        assert np.isfinite(chunk.samples).all()
    # Healed, the past that is left is sound, and so is what follows.
    engine.rollback(frame - 4)
    engine.set_parameter("seed", 0)
    play(engine)
    assert np.array_equal(engine.codes(0, END - 3), sound)


def test_a_healed_model_goes_on_where_it_failed(
    engine: Engine, model: MusicGen, sound: np.ndarray
) -> None:
    frame = first_with_a_new_token(sound, 60)
    with (
        damaged(model.lm.embeddings, int(sound[0, frame])),
        pytest.raises(NonFiniteError),
    ):
        play(engine)
    play(engine)
    assert np.array_equal(engine.codes(0, END - 3), sound)


def test_a_poisoned_prompt_is_left_by_another_prompt(engine: Engine, model: MusicGen) -> None:
    """Everything read under it is read anew, whatever was prefilled ahead."""
    play(engine, 70)
    states, encode = model.text, model.text.encode

    def poisoned(text: str) -> Tensor:
        return encode(text) * (float("nan") if text == "poison" else 1.0)

    states.encode = poisoned  # type: ignore[method-assign]
    try:
        engine.set_prompt("poison", at_frame=75)
        with pytest.raises(NonFiniteError) as failure:
            play(engine)
        assert failure.value.frame == 75
        engine.set_prompt("rain", at_frame=75)
        play(engine)
    finally:
        del states.encode
    healthy = Engine(model, SHORT)
    healthy.set_prompt("deep house")
    healthy.set_prompt("rain", at_frame=75)
    play(healthy)
    assert np.array_equal(engine.codes(0, END - 3), healthy.codes(0, END - 3))


def test_a_wholly_broken_model_emits_nothing(engine_of: EngineMaker, model: MusicGen) -> None:
    engine = Engine(model, SHORT)
    with damaged(model.lm.position_table, 0), pytest.raises(NonFiniteError) as failure:
        engine.step(10)
    assert failure.value.frame == 0
    assert engine.next_sample == 0
    engine.step(30)
    healthy = engine_of("text")
    healthy.step(30)
    assert np.array_equal(engine.codes(0, 27), healthy.codes(0, 27))


def test_samples(engine: Engine, model: MusicGen, sound: np.ndarray) -> None:
    frame = first_with_a_new_token(sound, 40)
    codebook = next(iter(model.codec.codec.quantizer.codebooks))
    with damaged(codebook, int(sound[0, frame])):
        with pytest.raises(NonFiniteError, match="samples") as failure:
            play(engine)
        # The decoder looks ahead, so a frame or a few before it are spoiled as well.
        assert frame - 4 <= failure.value.frame <= frame
        position = engine.next_sample
        assert position <= failure.value.frame * 640
        engine.set_parameter("seed", 3, at_frame=frame - 5)
        assert np.isfinite(engine.step(4).samples).all()
    engine.rollback(frame - 5)
    engine.set_parameter("seed", 0)
    play(engine)
    assert np.array_equal(engine.codes(0, END - 3), sound)
    whole = model.codec.decode(torch.from_numpy(sound))
    assert bool(torch.isfinite(whole).all())
