"""Any session at all: what was played is what the final score plays from the beginning."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from musicgen_rt.live.engine import Engine
from musicgen_rt.live.melody import melody_from_notes
from musicgen_rt.model.notes import Note
from tests.live.conftest import EngineMaker

LAST = 130  # frames: the window of 50 rolls every 30
PROMPTS = ("deep house", "warm strings, slow", "x")
TUNES = (
    None,
    melody_from_notes([Note(60, 0.0, 0.5), Note(67, 0.5, 0.9)], loop_seconds=1.0),
    melody_from_notes([Note(64, 0.0, 2.4)]),
)


@dataclass(frozen=True)
class Operation:
    """A named thing to do, how far from the present, and what with."""

    name: str
    offset: int
    values: tuple[Any, ...]


def control(name: str, *values: st.SearchStrategy[Any]) -> st.SearchStrategy[Operation]:
    offsets = st.one_of(st.just(0), st.integers(-60, 35))
    return st.builds(Operation, st.just(name), offsets, st.tuples(*values))


slots, ramps = st.integers(0, 2), st.sampled_from([0, 0, 7, 25])
weights = st.sampled_from([0.0, 0.5, 1.0, -0.3])
STEPS = control("step", st.integers(1, 35))
ANY_MODEL = [
    STEPS,
    STEPS,
    control("rollback"),
    control("prompt", slots, st.sampled_from(PROMPTS), weights, ramps),
    control("weight", slots, weights, ramps),
    control("clear", slots),
    control("negative", st.sampled_from([None, "hiss"])),
    control("parameter", st.just("cfg"), st.sampled_from([0, 1, 2.5]), ramps),
    control("parameter", st.just("temperature"), st.sampled_from([0.0, 0.8]), st.just(0)),
    control("parameter", st.just("seed"), st.integers(0, 2), st.just(0)),
    control("tempo", st.sampled_from([90.0, 300.0, 421.7]), st.sampled_from([None, 3])),
    control("memory", st.integers(0, 60), st.integers(1, 25)),
]
MELODY = [
    control("melody", st.sampled_from(TUNES)),
    control("parameter", st.just("cfg_melody"), st.sampled_from([1, 3]), st.just(0)),
]
ATTRIBUTE = [control("attribute", st.sampled_from([True, False, None]))]


def sessions(*more: st.SearchStrategy[Operation]) -> st.SearchStrategy[list[Operation]]:
    return st.lists(st.one_of(*ANY_MODEL, *more), min_size=4, max_size=13)


ACTIONS: dict[str, Callable[..., None]] = {
    "prompt": lambda e, at, slot, text, weight, ramp: e.set_prompt(
        text, slot, weight=weight, ramp_frames=ramp, at_frame=at
    ),
    "weight": lambda e, at, slot, weight, ramp: e.set_weight(
        slot, weight, ramp_frames=ramp, at_frame=at
    ),
    "clear": lambda e, at, slot: e.clear_prompt(slot, at_frame=at),
    "negative": lambda e, at, text: e.set_negative_prompt(text, at_frame=at),
    "melody": lambda e, at, tune: e.set_melody(tune, at_frame=at),
    "attribute": lambda e, at, on: e.set_attribute("drums", on, at_frame=at),
    "tempo": lambda e, at, bpm, beats: e.set_tempo(bpm, beats, at_frame=at),
}


def perform(engine: Engine, one: Operation, audio: list[Any]) -> None:
    now = engine.next_frame
    at = max(0, now + one.offset)
    if one.name == "step":
        if now < LAST:
            audio.append(engine.step(min(one.values[0], LAST - now)))
    elif one.name == "rollback":
        engine.rollback(min(at, now))
    elif one.name == "parameter":
        name, value, ramp = one.values
        is_whole = name == "seed"
        engine.set_parameter(name, value, ramp_frames=0 if is_whole else ramp, at_frame=at)
    elif one.name == "memory":
        first, frames = one.values
        if first + frames + 3 <= min(at, now):
            engine.set_memory(first, frames, at_frame=at)
    else:
        ACTIONS[one.name](engine, at, *one.values)


def finished(engine: Engine, chunk: int) -> list[Any]:
    return [
        engine.step(min(chunk, LAST - engine.next_frame))
        for _ in range(-(-(LAST - engine.next_frame) // chunk))
    ]


def heard(chunks: list[Any]) -> np.ndarray:
    audio = np.zeros((1, LAST * 640), dtype=np.float32)
    end = 0
    for chunk in chunks:
        end = chunk.first_sample + chunk.samples.shape[1]
        audio[:, chunk.first_sample : end] = chunk.samples
    return audio[:, :end]


def check(engine: Engine, session: list[Operation]) -> None:
    engine.reset()
    chunks: list[Any] = []
    for one in session:
        perform(engine, one, chunks)
    chunks += finished(engine, 30)
    codes = engine.codes(0, LAST - 3)
    again = Engine.replay(engine.model, json.loads(json.dumps(engine.log())))
    assert again.next_frame == 0
    finished(again, 50)
    assert np.array_equal(again.codes(0, LAST - 3), codes)
    audio = heard(chunks)
    whole = engine.model.codec.decode(torch.from_numpy(codes)).numpy()
    assert audio.shape[1] > (LAST - 10) * 640
    assert np.abs(audio - whole[:, : audio.shape[1]]).max() <= 1e-5


def thorough(max_examples: int) -> settings:
    return settings(
        max_examples=max_examples,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@pytest.fixture(scope="module")
def engines(engine_of: EngineMaker) -> dict[str, Engine]:
    return {name: engine_of(name) for name in ("text", "melody", "frame")}


@given(session=sessions())
@thorough(8)
def test_text(engines: dict[str, Engine], session: list[Operation]) -> None:
    check(engines["text"], session)


@given(session=sessions(*MELODY))
@thorough(8)
def test_melody(engines: dict[str, Engine], session: list[Operation]) -> None:
    check(engines["melody"], session)


@given(session=sessions(*MELODY, *ATTRIBUTE, *ATTRIBUTE))
@thorough(8)
def test_frame_conditioners(engines: dict[str, Engine], session: list[Operation]) -> None:
    check(engines["frame"], session)
