"""Benchmarks of a model of masked codes: passes, the latency of a block, and what it gains.

The gain is over making the same tensors' tokens one frame after the other, as a MusicGen of their
shape does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from musicgen_rt.errors import ParameterError
from musicgen_rt.live.build import EngineOptions
from musicgen_rt.live.engine import Engine
from musicgen_rt.model.checkpoint import read_config
from musicgen_rt.model.hub import resolve
from musicgen_rt.model.musicgen import MusicGen, choose_device, choose_format
from musicgen_rt.offline.bench_engine import PROMPT, EngineBench, check_fits, measure_steps
from musicgen_rt.offline.bench_figures import Clock, Figure
from musicgen_rt.offline.bench_machine import describe_machine

Report = Callable[[str], None]

_TEXT_CAPACITY = 64


@dataclass(frozen=True)
class BlockFigures:
    """One weight format. `first_block` fills a whole window, `next_block` what follows a roll.

    `passes` of the model make a block; `latency_ms` is from the block's beginning to its last
    token, without the codec. `ratio` compares the audio a second with that of single steps behind
    `context_frames`.
    """

    weights: str
    guidance: float
    passes: int
    first_block_seconds: float
    first_latency_ms: Figure
    next_block_seconds: float
    next_latency_ms: Figure
    real_time_factor: float
    context_frames: int
    autoregressive_steps_per_second: Figure
    autoregressive_real_time_factor: float
    ratio: float


@dataclass(frozen=True)
class BlockReport:
    """All figures of a run."""

    model: str
    has_random_weights: bool
    machine: dict[str, Any]
    formats: tuple[BlockFigures, ...]

    def to_json(self) -> dict[str, Any]:
        """The report as a value for `json.dumps`."""
        return asdict(self)


def is_masked(source: str) -> bool:
    """Whether a checkpoint is one of masked codes. Raises CheckpointError."""
    return read_config(resolve(source)).magnet is not None


def run_block_bench(
    source: str,
    weights: tuple[str, ...],
    device: str,
    bench: EngineBench,
    *,
    has_random_weights: bool = False,
    report: Report | None = None,
    clock: Clock = time.perf_counter,
) -> BlockReport:
    """Measure every weight format. Raises CheckpointError, ParameterError or UnsupportedError."""
    say = report or (lambda line: None)
    folder, chosen = resolve(source), choose_device(device)
    config = read_config(folder)
    check_fits(config, bench)
    # A format that cannot be had is told before another one is measured.
    names = dict.fromkeys(choose_format(name, chosen, config).value for name in weights)

    def measured(name: str) -> BlockFigures:
        say(f"{name}: loading")
        model = MusicGen.load(str(folder), device=device, weights=name)
        return measure_blocks(model, bench, say, clock)

    formats = tuple(measured(name) for name in names)
    return BlockReport(source, has_random_weights, describe_machine(chosen), formats)


def measure_blocks(model: MusicGen, bench: EngineBench, say: Report, clock: Clock) -> BlockFigures:
    """The figures of a loaded model. Raises ParameterError for one that is not of masked codes."""
    config = model.config
    if config.magnet is None:
        raise ParameterError(f"{model.source} makes its codes one by one: expected a MAGNeT")
    name, rate_hz = model.weight_format.value, config.frame_rate_hz
    say(f"{name}: blocks")
    first, following = [], []
    for repetition in range(bench.repetitions + 1):
        engine = Engine(model, EngineOptions(text_capacity=_TEXT_CAPACITY))
        engine.set_prompt(PROMPT)
        engine.set_parameter("cfg", bench.cfg)
        engine.set_parameter("seed", repetition)
        first.append(_filled(engine, clock))
        following.append(_filled(engine, clock))
    say(f"{name}: the same, step by step")
    plain = replace(model, config=replace(config, magnet=None))
    steps, _ = measure_steps(plain, bench, clock)
    next_frames, next_ms = following[0][0], Figure.of([ms for _, ms in following[1:]])
    factor = next_frames / rate_hz / (next_ms.median / 1000)
    single_factor = steps.median / rate_hz
    return BlockFigures(
        weights=name,
        guidance=bench.cfg,
        passes=sum(config.magnet.decoding_steps),
        first_block_seconds=first[0][0] / rate_hz,
        first_latency_ms=Figure.of([ms for _, ms in first[1:]]),
        next_block_seconds=next_frames / rate_hz,
        next_latency_ms=next_ms,
        real_time_factor=factor,
        context_frames=bench.context_frames,
        autoregressive_steps_per_second=steps,
        autoregressive_real_time_factor=single_factor,
        ratio=factor / single_factor,
    )


def _filled(engine: Engine, clock: Clock) -> tuple[int, float]:
    """Fill the block at the engine's frame: its frames, and the milliseconds it took."""
    stream, begun_frame = engine.session.stream, engine.next_frame
    begun = clock()
    stream.advance(1)
    took_ms = 1000 * (clock() - begun)
    while not engine.is_about_to_fill:
        stream.advance(1)
    assert np.all(stream.store.frames(begun_frame, engine.next_frame) >= 0)
    return engine.next_frame - begun_frame, took_ms


def block_table(report: BlockReport) -> str:
    """The report as lines of text, without a newline at the end."""
    lines = [f"{report.model}, torch {report.machine['torch']}"]
    for one in report.formats:
        lines += _lines(one)
    if report.has_random_weights:
        lines.append("the weights are random; speed does not depend on them")
    return "\n".join(lines)


def _lines(one: BlockFigures) -> list[str]:
    first_ms, next_ms = one.first_latency_ms.median, one.next_latency_ms.median
    single = one.autoregressive_steps_per_second.median
    step_by_step = f"{one.autoregressive_real_time_factor:.2f} x real time"
    in_real_time = f"{one.real_time_factor:.2f} x real time without the codec"
    return [
        f"{one.weights}: {one.passes} passes a block, guidance {one.guidance:g}",
        f"  first block, {one.first_block_seconds:.1f} s: {first_ms:.0f} ms",
        f"  next block, {one.next_block_seconds:.1f} s: {next_ms:.0f} ms, {in_real_time}",
        f"  step by step behind {one.context_frames} frames: {single:.1f} a second, {step_by_step}",
        f"  ratio: {one.ratio:.1f}",
    ]
