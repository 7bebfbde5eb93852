"""Benchmarks of the engine: steps, prefill, first audio, and the roll of the window."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from musicgen_rt.errors import ParameterError
from musicgen_rt.live.build import EngineOptions
from musicgen_rt.live.engine import DEFAULT_CHUNK_FRAMES, Engine
from musicgen_rt.model.codec_frames import FrameDecoder
from musicgen_rt.model.config import ModelConfig
from musicgen_rt.model.musicgen import MusicGen
from musicgen_rt.offline.bench_figures import Clock, Figure, RollFigures

PROMPT = "a driving techno beat with a warm bass line"
CONTEXT_FRAMES_RANGE = (20, 10_000)

# A CPU prefills the next window during these last frames of a window: far from the roll, none runs.
_PREFILL_AHEAD_FRAMES = 200
_CHUNKS_AFTER_ROLL = 3
_TEXT_CAPACITY = 64


@dataclass(frozen=True)
class EngineBench:
    """How the engine is run: guidance, frames of context and steps of a measurement."""

    cfg: float = 3.0
    context_frames: int = 500
    steps: int = 100
    repetitions: int = 3
    compile: bool = True


class _RandomContext(FrameDecoder):
    """A codec that takes any audio for random codes: a context of any length at no cost."""

    def encode(self, samples: Tensor, drop_tail_frames: int = 0) -> Tensor:
        frames = samples.shape[1] // self.hop_samples - drop_tail_frames
        codebook_size = self.codec.config.codebook_size
        random = torch.Generator().manual_seed(0)
        return torch.randint(codebook_size, (self.num_codebooks, frames), generator=random)


@dataclass(frozen=True)
class _Position:
    frames: int


class _SilentContext(_RandomContext):
    """Decodes to silence at no cost, so that what is left is the language model."""

    def start(self) -> Any:
        return _Position(0)

    def decode_chunk(self, state: Any, codes: Tensor) -> tuple[Tensor, Any]:
        after = _Position(state.frames + codes.shape[1])
        ready = self.samples_ready(after.frames) - self.samples_ready(state.frames)
        return torch.zeros(self.channels, ready), after


def measure_steps(model: MusicGen, bench: EngineBench, clock: Clock) -> tuple[Figure, Figure]:
    """(steps a second, prefill in ms) of the language model alone, sampling included.

    Raises ParameterError if the context and the steps do not fit the model.
    """
    frames = bench.context_frames + bench.steps + 1 + _PREFILL_AHEAD_FRAMES
    engine = _engine_in_context(model, _SilentContext, bench, frames)
    speeds, prefills = [], []
    for _ in _warm(bench.repetitions):
        engine.rollback(bench.context_frames)
        begun = clock()
        engine.step(1)
        filled = clock()
        engine.step(bench.steps)
        step_seconds = (clock() - filled) / bench.steps
        speeds.append(1 / step_seconds)
        prefills.append(1000 * max(0.0, filled - begun - step_seconds))
    return Figure.of(speeds[1:]), Figure.of(prefills[1:])


def measure_real_time(model: MusicGen, bench: EngineBench, clock: Clock) -> Figure:
    """Seconds of audio a second, codec included, between two rolls of the window."""
    chunks = -(-bench.steps // DEFAULT_CHUNK_FRAMES)
    frames = chunks * DEFAULT_CHUNK_FRAMES
    window = bench.context_frames + frames + 1 + _PREFILL_AHEAD_FRAMES
    engine = _engine_in_context(model, _RandomContext, bench, window)
    factors = []
    for _ in _warm(bench.repetitions):
        engine.rollback(bench.context_frames)
        engine.step(1)
        begun = clock()
        for _ in range(chunks):
            engine.step()
        factors.append(frames / model.config.frame_rate_hz / (clock() - begun))
    return Figure.of(factors[1:])


def measure_roll(model: MusicGen, bench: EngineBench, clock: Clock) -> RollFigures:
    """The gaps between chunks while the window fills up, rolls, and goes on."""
    window = bench.context_frames + _PREFILL_AHEAD_FRAMES
    engine = _engine_in_context(model, _RandomContext, bench, window)
    chunks = _PREFILL_AHEAD_FRAMES // DEFAULT_CHUNK_FRAMES + _CHUNKS_AFTER_ROLL
    first, gaps = [_gaps(engine, bench, chunks, clock) for _ in range(2)]
    return RollFigures(
        longest_gap_ms=max(gaps),
        median_gap_ms=statistics.median(gaps),
        first_longest_gap_ms=max(first),
        chunk_audio_ms=1000 * DEFAULT_CHUNK_FRAMES / model.config.frame_rate_hz,
    )


def measure_first_audio(model: MusicGen, bench: EngineBench, clock: Clock) -> Figure:
    """Milliseconds from a prompt that was never heard of to the first samples of a new stream."""
    engine = Engine(model, EngineOptions(compile_step=bench.compile, text_capacity=_TEXT_CAPACITY))
    engine.set_parameter("cfg", bench.cfg)
    waits = []
    for repetition in _warm(bench.repetitions):
        engine.rollback(0)
        begun = clock()
        engine.set_prompt(f"{PROMPT} {repetition}")
        while not engine.step().samples.shape[1]:
            pass
        waits.append(1000 * (clock() - begun))
    return Figure.of(waits[1:])


def check_fits(config: ModelConfig, bench: EngineBench) -> None:
    """Raise ParameterError for a context that this checkpoint has no positions for."""
    prefix = 0 if config.chroma is None else config.chroma.chroma_length + _TEXT_CAPACITY
    steps = bench.steps + DEFAULT_CHUNK_FRAMES + 1
    low, _ = CONTEXT_FRAMES_RANGE
    high = config.lm.max_positions - prefix - steps - _PREFILL_AHEAD_FRAMES
    if not low <= bench.context_frames <= high:
        raise ParameterError(
            f"a context of {bench.context_frames} frames with {bench.steps} steps: this checkpoint "
            f"has positions for a context of {low} to {high} frames with so many steps"
        )


def _engine_in_context(
    model: MusicGen, codec: type[_RandomContext], bench: EngineBench, window_frames: int
) -> Engine:
    """An engine that has `context_frames` behind it and the prompt before it."""
    config = model.config
    decoder = codec(model.codec.codec, config.channels)
    options = EngineOptions(
        window_seconds=window_frames / config.frame_rate_hz,
        context_seconds=bench.context_frames / config.frame_rate_hz,
        text_capacity=_TEXT_CAPACITY,
        compile_step=bench.compile,
    )
    engine = Engine(replace(model, codec=decoder), options)
    silence = np.zeros((config.channels, bench.context_frames * config.hop_samples), np.float32)
    engine.continue_from(silence, config.sampling_rate_hz)
    engine.set_parameter("cfg", bench.cfg)
    engine.set_prompt(PROMPT)
    return engine


def _gaps(engine: Engine, bench: EngineBench, chunks: int, clock: Clock) -> list[float]:
    """Milliseconds that each chunk took to come."""
    engine.rollback(bench.context_frames)
    engine.step(1)
    gaps, before = [], clock()
    for _ in range(chunks):
        engine.step()
        now = clock()
        gaps.append(1000 * (now - before))
        before = now
    return gaps


def _warm(repetitions: int) -> Iterator[int]:
    """The repetitions and one before them, which compiles, captures and fills caches."""
    yield from range(repetitions + 1)
