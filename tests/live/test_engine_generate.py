"""Greedy tokens against transformers' own `generate`, begun from nothing and from audio."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from musicgen_rt.live.build import EngineOptions
from musicgen_rt.live.engine import Engine
from musicgen_rt.live.melody import AudioMelody
from musicgen_rt.model.musicgen import MusicGen
from tests.live.conftest import EngineMaker
from tests.live.reference import Reference

FRAMES = 200
PROMPT = "deep house, 124 bpm"
WHOLE = EngineOptions(window_seconds=10.0, context_seconds=4.0)


def greedy(engine: Engine, cfg: float) -> Engine:
    engine.set_prompt(PROMPT)
    engine.set_parameter("temperature", 0)
    engine.set_parameter("cfg", cfg)
    return engine


def made(engine: Engine, frames: int = FRAMES) -> np.ndarray:
    while engine.next_frame < frames + 10:
        engine.step(50)
    return engine.codes(0, frames)


@pytest.mark.parametrize(
    ("name", "cfg"), [("text", 3.0), ("text", 1.0), ("stereo", 3.0), ("melody", 3.0)]
)
def test_text_prompt(
    name: str, cfg: float, engine_of: EngineMaker, references: dict[str, Reference]
) -> None:
    expected = references[name].generate(PROMPT, FRAMES, guidance_scale=cfg)
    assert len(np.unique(expected)) > 10, "the reference must not be stuck"
    assert np.array_equal(made(greedy(engine_of(name, WHOLE), cfg)), expected)


@pytest.mark.parametrize("cfg", [3.0, 1.0])
def test_melody(cfg: float, engine_of: EngineMaker, references: dict[str, Reference]) -> None:
    classes = np.random.default_rng(0).integers(0, 12, 235)
    features = torch.nn.functional.one_hot(torch.from_numpy(classes), 12)[None].float()
    expected = references["melody"].generate(
        PROMPT, FRAMES, guidance_scale=cfg, input_features=features
    )
    engine = greedy(engine_of("melody", WHOLE), cfg)
    hop_seconds = 4096 / 32000
    melody = AudioMelody(235 * hop_seconds, None, "null", tuple(classes.tolist()), hop_seconds)
    engine.set_melody(melody)
    assert np.array_equal(made(engine), expected)
    engine.rollback(0)
    engine.set_melody(None)
    assert not np.array_equal(made(engine), expected), "the melody must matter"


@pytest.mark.parametrize("name", ["text", "stereo", "melody"])
def test_continuation_of_codes(
    name: str,
    engine_of: EngineMaker,
    references: dict[str, Reference],
) -> None:
    reference = references[name]
    given = np.random.default_rng(1).integers(0, 64, (reference.num_codebooks, 40))
    expected = reference.generate(
        PROMPT, 120, guidance_scale=3.0, decoder_input_ids=torch.from_numpy(given)
    )
    engine = engine_of(name, WHOLE)
    engine.continue_codes(given)
    assert np.array_equal(made(greedy(engine, 3.0), 120), expected)
    assert np.array_equal(expected[:, :40], given)


def test_continuation_of_audio(
    engine_of: EngineMaker, references: dict[str, Reference], models: dict[str, MusicGen]
) -> None:
    samples = np.random.default_rng(2).normal(size=(1, 32000)).astype(np.float32) * 0.1
    encoder = references["text"].model.audio_encoder
    codes = encoder.encode(torch.from_numpy(samples)[None]).audio_codes[0, 0]
    # The last frames of a waveform are coded with the silence after it in view.
    kept = codes[:, :-4]
    expected = references["text"].generate(PROMPT, 120, guidance_scale=3.0, decoder_input_ids=kept)
    engine = engine_of("text", WHOLE)
    engine.continue_from(samples, models["text"].config.sampling_rate_hz)
    assert np.array_equal(made(greedy(engine, 3.0), 120), expected)


def test_the_first_chunk_of_a_continuation_is_what_was_given(engine_of: EngineMaker) -> None:
    engine = engine_of("text")
    given = np.random.default_rng(3).integers(0, 64, (4, 60))
    engine.continue_codes(given)
    chunk = engine.step(10)
    whole: Any = engine.model.codec.decode(torch.from_numpy(engine.codes(0, 67)))
    assert chunk.first_sample == 0
    assert np.allclose(chunk.samples, whole[:, : chunk.samples.shape[1]], atol=1e-5)
