"""Measures a checkpoint on this machine: speed, latency, memory, and what coarse weights cost."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from musicgen_rt.errors import CheckpointError, ParameterError
from musicgen_rt.live.score import PARAMETERS, Parameter
from musicgen_rt.model.checkpoint import read_config
from musicgen_rt.model.hub import resolve
from musicgen_rt.model.linear import WeightFormat
from musicgen_rt.model.musicgen import MusicGen, choose_device, choose_format
from musicgen_rt.model.new_checkpoint import write_checkpoint
from musicgen_rt.model.presets import Preset
from musicgen_rt.model.quantised_cache import cache_folder
from musicgen_rt.offline.bench_codec import measure_codec
from musicgen_rt.offline.bench_engine import (
    CONTEXT_FRAMES_RANGE,
    EngineBench,
    check_fits,
    measure_first_audio,
    measure_real_time,
    measure_roll,
    measure_steps,
)
from musicgen_rt.offline.bench_figures import Clock, CodecFigures, FormatFigures, ReferenceFigures
from musicgen_rt.offline.bench_machine import describe_machine
from musicgen_rt.offline.bench_memory import PeakMemory
from musicgen_rt.offline.bench_quality import divergence_nats, log_probabilities
from musicgen_rt.offline.bench_reference import Reference, compare, reference_dtype

Report = Callable[[str], None]
"""Called with a line on what is done next."""

RANGES = {
    "context_frames": Parameter(500, *CONTEXT_FRAMES_RANGE, "frames behind each step", True),
    "steps": Parameter(100, 10, 10_000, "steps of a measurement", True),
    "reference_steps": Parameter(32, 10, 1500, "steps of a turn beside transformers", True),
    "repetitions": Parameter(3, 1, 100, "measurements of each thing; the median counts", True),
}


@dataclass(frozen=True)
class BenchOptions:
    """What to measure, and how. Raises ParameterError for a number that is out of range."""

    weights: tuple[str, ...] = ("auto",)
    device: str = "auto"
    engine: EngineBench = field(default_factory=EngineBench)
    has_reference: bool = True
    reference_steps: int = 32
    has_quality: bool = True

    def __post_init__(self) -> None:
        PARAMETERS["cfg"].check("cfg", self.engine.cfg)
        for name in ("context_frames", "steps", "repetitions"):
            RANGES[name].check(name, getattr(self.engine, name))
        RANGES["reference_steps"].check("reference_steps", self.reference_steps)
        if not self.weights:
            raise ParameterError("no weight format is given: expected one or more")
        for name in self.weights:
            if name != "auto":
                WeightFormat.parse(name)


@dataclass(frozen=True)
class BenchReport:
    """All figures of a run."""

    model: str
    has_random_weights: bool
    options: BenchOptions
    machine: dict[str, Any]
    codec: CodecFigures
    formats: tuple[FormatFigures, ...]

    def to_json(self) -> dict[str, Any]:
        """The report as a value for `json.dumps`."""
        return asdict(self)


def random_checkpoint(like: str, *, tiny: bool, report: Report) -> Path:
    """The cached checkpoint of random weights in the shapes of `like`, written once.

    Raises ParameterError for an unknown `like`, CheckpointError if it cannot be written.
    """
    name = like.rpartition("/")[2] + ("-tiny" if tiny else "")
    folder = cache_folder() / "random" / name
    if not folder.is_dir():
        Preset.like(like, tiny=tiny)  # an unknown one is refused before anything is said
        report(f"writing random weights like {like} to {folder}")
        try:
            write_checkpoint(like, folder, tiny=tiny)
        except CheckpointError:
            if not folder.is_dir():  # else another process was quicker, with the same weights
                raise
    return folder


def run_bench(
    source: str,
    options: BenchOptions,
    *,
    has_random_weights: bool = False,
    report: Report | None = None,
    clock: Clock = time.perf_counter,
) -> BenchReport:
    """Measure every weight format, then each beside transformers in turns.

    Raises CheckpointError, ParameterError or UnsupportedError.
    """
    folder = resolve(source)
    config = read_config(folder)
    device = choose_device(options.device)
    names = [choose_format(name, device, config).value for name in options.weights]
    options = replace(options, weights=tuple(dict.fromkeys(names)))
    check_fits(config, options.engine)
    bench = _Bench(folder, device, options, report or (lambda line: None), clock)
    exact = bench.exact_log_probabilities() if options.has_quality else None
    formats = [bench.measure(name, exact) for name in options.weights]
    reference = bench.reference() if options.has_reference else None
    codec = bench.measure_codec(reference)
    if reference is not None:
        compared = bench.compare(reference)
        formats = [replace(one, reference=compared[one.weights]) for one in formats]
    return BenchReport(
        model=source,
        has_random_weights=has_random_weights,
        options=options,
        machine=describe_machine(device),
        codec=codec,
        formats=tuple(formats),
    )


@dataclass(frozen=True)
class _Bench:
    """One checkpoint on one device; loads a model for each measurement and lets it go again."""

    folder: Path
    device: torch.device
    options: BenchOptions
    say: Report
    clock: Clock

    def exact_log_probabilities(self) -> Tensor:
        """What fp32 says, to compare the other formats with."""
        self.say("fp32: next-token distributions to compare with")
        with self._loaded("fp32") as model:
            return log_probabilities(model)

    def measure(self, name: str, exact: Tensor | None) -> FormatFigures:
        """All figures of one format that need no other model."""
        bench, clock = self.options.engine, self.clock
        memory = PeakMemory(self.device)
        self.say(f"{name}: loading")
        begun = clock()
        with self._loaded(name) as model:
            load_seconds = clock() - begun
            self.say(f"{name}: steps and prefill")
            steps_per_second, prefill_ms = measure_steps(model, bench, clock)
            self.say(f"{name}: with the codec")
            real_time_factor = measure_real_time(model, bench, clock)
            self.say(f"{name}: first audio")
            first_audio_ms = measure_first_audio(model, bench, clock)
            self.say(f"{name}: a roll of the window")
            roll = measure_roll(model, bench, clock)
            used = memory.figures()
            kl_nats = None
            if exact is not None:
                kl_nats = divergence_nats(exact, log_probabilities(model))
        return FormatFigures(
            weights=name,
            load_seconds=load_seconds,
            lm_steps_per_second=steps_per_second,
            real_time_factor=real_time_factor,
            prefill_ms=prefill_ms,
            first_audio_ms=first_audio_ms,
            roll=roll,
            memory=used,
            kl_nats=kl_nats,
        )

    def reference(self) -> Reference:
        """Transformers' model of the same checkpoint."""
        formats = [WeightFormat.parse(name) for name in self.options.weights]
        dtype = reference_dtype(formats, self.device)
        self.say(f"transformers: loading in {dtype}")
        return Reference(self.folder, read_config(self.folder), dtype, self.device)

    def measure_codec(self, reference: Reference | None) -> CodecFigures:
        """The codec's figures, which do not depend on the weight format."""
        self.say("codec")
        with self._loaded(self.options.weights[-1]) as model:
            return measure_codec(model, reference, self.options.engine.repetitions, self.clock)

    def compare(self, reference: Reference) -> dict[str, ReferenceFigures]:
        """Each format beside transformers."""
        options = self.options
        compared = {}
        for name in options.weights:
            self.say(f"{name}: in turns with transformers")
            with self._loaded(name) as model:
                compared[name] = compare(
                    reference, model, options.engine, options.reference_steps, self.clock
                )
        return compared

    @contextmanager
    def _loaded(self, weights: str) -> Iterator[MusicGen]:
        """The model for a while; its memory is given back afterwards."""
        yield MusicGen.load(str(self.folder), device=str(self.device), weights=weights)
        # Engines and their streams refer to each other: counting references does not free them.
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
