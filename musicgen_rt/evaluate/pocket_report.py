"""`musicgen-rt evaluate pocket`: every part of the evaluation, and what is asked of its figures.

docs/evaluation.md describes the report's fields and how they are measured.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from musicgen_rt.errors import ParameterError, UnsupportedError
from musicgen_rt.evaluate.pocket_codec import evaluate_checkpoint_codec
from musicgen_rt.evaluate.pocket_control import (
    CODEC,
    GENERATOR,
    MODEL,
    Stage,
    evaluate_control,
    evaluate_text_tempo,
)
from musicgen_rt.evaluate.pocket_ears import EarFigures, ear_figures
from musicgen_rt.evaluate.pocket_endless import evaluate_endless
from musicgen_rt.evaluate.pocket_following import evaluate_following
from musicgen_rt.evaluate.pocket_judges import Judges, Watch, kept_lessons, through_codec
from musicgen_rt.evaluate.pocket_pieces import RATE_HZ, Take
from musicgen_rt.evaluate.pocket_play import Player
from musicgen_rt.evaluate.pocket_speed import evaluate_speed
from musicgen_rt.evaluate.pocket_targets import reached
from musicgen_rt.live.build import EngineOptions
from musicgen_rt.model.musicgen import MusicGen

SCHEMA = "musicgen-rt evaluate pocket 1"
_LARGEST_COUNT = 100_000
_LONGEST_MINUTES = 600.0
_FOLLOWING_PART = 1 / 12
_FOLLOWING_TAKES = (2, 16)
_ENDLESS_PROMPTS = 5
_EAR_TAKES = 8


@dataclass(frozen=True)
class PocketSettings:
    """What to evaluate and how much of it; `lessons` is what the learned judges hear first."""

    model: str = "pocket"
    device: str = "auto"
    weights: str = "auto"
    compile: bool = True
    clips: int = 200
    prompts: int = 200
    minutes: float = 10.0
    lessons: int = 400
    seed: int = 0
    parts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises ParameterError for a value out of range or an unknown part."""
        for name in ("clips", "prompts"):
            _check(name, getattr(self, name), 1, _LARGEST_COUNT)
        _check("lessons", self.lessons, 20, _LARGEST_COUNT)
        _check("minutes", self.minutes, 0.5, _LONGEST_MINUTES)
        _check("seed", self.seed, 0, 500)
        for part in self.parts:
            if part not in PARTS:
                raise ParameterError(f"part {part!r}: expected one of {', '.join(PARTS)}")


def evaluate_pocket(settings: PocketSettings, watch: Watch) -> dict[str, Any]:
    """The report, ready for `json.dumps`; `watch(label, done, total)` hears of the progress.

    Parts that were not asked for are absent. Raises CheckpointError, ParameterError or
    UnsupportedError.
    """
    model = MusicGen.load(settings.model, device=settings.device, weights=settings.weights)
    if model.config.sampling_rate_hz != RATE_HZ:
        raise UnsupportedError(
            f"{settings.model} plays at {model.config.sampling_rate_hz} Hz: expected {RATE_HZ} Hz, "
            "the rate of the judges' music"
        )
    stage = _stage(settings, model, watch)
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "settings": asdict(settings),
        "model": _model_facts(model),
        "machine": _machine_facts(),
    }
    for name, run in PARTS.items():
        if not settings.parts or name in settings.parts:
            report[name] = run(stage, settings)
    report["targets"] = [asdict(row) for row in reached(report)]
    return report


def _stage(settings: PocketSettings, model: MusicGen, watch: Watch) -> Stage:
    return Stage(
        player=Player(model, EngineOptions(compile_step=settings.compile)),
        teach=lambda: Judges.taught(kept_lessons(model.codec, settings.lessons, watch)),
        through=through_codec(model.codec),
        watch=watch,
        seed=settings.seed,
    )


def _codec(stage: Stage, settings: PocketSettings) -> dict[str, Any]:
    return evaluate_checkpoint_codec(stage.player.model.codec, settings.clips, stage.watch)


def _control(stage: Stage, settings: PocketSettings) -> dict[str, Any]:
    return evaluate_control(stage, settings.prompts)


def _text(stage: Stage, settings: PocketSettings) -> dict[str, Any]:
    return evaluate_text_tempo(stage, settings.prompts)


def _following(stage: Stage, settings: PocketSettings) -> dict[str, Any]:
    fewest, most = _FOLLOWING_TAKES
    takes = min(max(round(_FOLLOWING_PART * settings.prompts), fewest), most)
    return evaluate_following(stage, takes)


def _endless(stage: Stage, settings: PocketSettings) -> dict[str, Any]:
    return evaluate_endless(stage, min(_ENDLESS_PROMPTS, settings.prompts), settings.minutes)


def _speed(stage: Stage, settings: PocketSettings) -> dict[str, Any]:
    return evaluate_speed(stage, settings.model, settings.device, settings.weights)


def _ears(stage: Stage, settings: PocketSettings) -> dict[str, Any]:
    """What an ear would object to, of the model, the generator, and it through the codec."""
    count = min(_EAR_TAKES, settings.prompts)
    figures: dict[str, list[EarFigures]] = {MODEL: [], GENERATOR: [], CODEC: []}
    frame_rate_hz = round(stage.player.model.config.frame_rate_hz)
    for index, take in enumerate(stage.requests(count)):
        stage.watch("ears", index, count)
        played = stage.play(take.request, index)
        versions: Mapping[str, Take] = {MODEL: played, GENERATOR: take, CODEC: stage.through(take)}
        for name, sounding in versions.items():
            figures[name].append(ear_figures(sounding.samples, sounding.rate_hz, frame_rate_hz))
    stage.watch("ears", count, count)
    return {"takes": count} | {name: _summed_up(rows) for name, rows in figures.items()}


PARTS: Mapping[str, Callable[[Stage, PocketSettings], dict[str, Any]]] = {
    "codec": _codec,
    "control": _control,
    "text": _text,
    "following": _following,
    "endless": _endless,
    "speed": _speed,
    "ears": _ears,
}


def _summed_up(rows: list[EarFigures]) -> dict[str, dict[str, float]]:
    """Median and largest of every figure."""
    return {
        name: {
            "median": float(np.median([getattr(row, name) for row in rows])),
            "largest": float(max(getattr(row, name) for row in rows)),
        }
        for name in EarFigures.__dataclass_fields__
    }


def _model_facts(model: MusicGen) -> dict[str, Any]:
    lm = model.config.lm
    return {
        "source": model.source,
        "d_model": lm.d_model,
        "layers": lm.num_layers,
        "window_seconds": model.config.window_frames / model.config.frame_rate_hz,
        "weights": model.weight_format.value,
        "device": str(model.device),
    }


def _machine_facts() -> dict[str, Any]:
    return {
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "librosa": version("librosa"),
        "threads": torch.get_num_threads(),
    }


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ParameterError(f"{name} is {value!r}: expected {low:g} to {high:g}")
