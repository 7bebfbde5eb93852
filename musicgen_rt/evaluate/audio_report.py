"""`evaluate audio`: how near a folder of generated music is to a folder of references."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from musicgen_rt.evaluate.audio_embedding import Embedding, embedding
from musicgen_rt.evaluate.audio_gaussian import (
    MIN_GROUPS_TO_EXTRAPOLATE,
    extrapolated,
    frechet_distance,
    gaussian,
)
from musicgen_rt.evaluate.audio_labels import (
    asked_tempo,
    caption_of,
    kl_divergence,
    mean_cosine,
    paired_names,
)
from musicgen_rt.evaluate.audio_music import ClipFigures, clip_figures
from musicgen_rt.evaluate.audio_networks import DEFAULT_CLAP, Clap, Passt
from musicgen_rt.evaluate.audio_set import AudioSet, Clip, audio_set, check_comparable

SCHEMA = "musicgen-rt evaluate audio 1"
Samples = NDArray[np.float32]
Vectors = NDArray[np.floating]
Watch = Callable[[str, int, int], None]
"""Told a part's name, what is done of it and what there is to do."""


@dataclass(frozen=True)
class AudioSettings:
    """What to compare, and by what. `rate_hz` brings all files to one rate first."""

    reference: Path
    generated: Path
    embedding: str = "logmel"
    rate_hz: int | None = None
    with_kl: bool = False
    with_clap: bool = False
    clap: str = DEFAULT_CLAP
    seed: int = 0


def evaluate_audio(settings: AudioSettings, watch: Watch) -> dict[str, Any]:
    """The report as a value for JSON.

    Sets and networks are checked before anything is computed. Raises ParameterError,
    AudioFileError, CheckpointError or UnsupportedError.
    """
    kind = embedding(settings.embedding)
    shortest = max(
        kind.window_seconds,
        Passt.window_seconds if settings.with_kl else 0.0,
        Clap.window_seconds if settings.with_clap else 0.0,
    )
    reference, generated = (
        audio_set(folder, settings.rate_hz, shortest_seconds=shortest)
        for folder in (settings.reference, settings.generated)
    )
    check_comparable(reference, generated)
    # Loading may mean a download: only now.
    hearing = kind.load()
    passt = Passt.load() if settings.with_kl else None
    clap = Clap.load(settings.clap) if settings.with_clap else None
    fad, warnings = _distance(hearing, reference, generated, settings.seed, watch)
    clips = list(_clip_figures(reference, generated, watch))
    return {
        "schema": SCHEMA,
        "settings": {**asdict(settings), "reference": str(settings.reference),
                     "generated": str(settings.generated)},
        "sets": {"reference": _set_json(reference), "generated": _set_json(generated)},
        "fad": fad,
        "kl": None if passt is None else _kl(passt, reference, generated, watch),
        "clap": None if clap is None else _clap(clap, generated, settings.clap, watch),
        "music": _summary(clips),
        "clips": [_finite(asdict(one)) for one in clips],
        "warnings": warnings,
    }  # fmt: skip


def _distance(
    hearing: Embedding, reference: AudioSet, generated: AudioSet, seed: int, watch: Watch
) -> tuple[dict[str, Any], list[str]]:
    """The Fréchet distance, its extrapolation, and what must be said of both."""
    theirs = list(_embedded(hearing, reference, "reference", watch))
    ours = list(_embedded(hearing, generated, "generated", watch))
    one, other = gaussian(np.concatenate(theirs)), gaussian(np.concatenate(ours))
    at_infinity = extrapolated(one, ours, seed)
    warnings = [
        f"{label}: {part.count} windows for {part.dimension} dimensions, so the covariance is not "
        f"known in all directions and the distance is too large; expected more than "
        f"{part.dimension} windows, better ten times as many"
        for label, part in (("reference", one), ("generated", other))
        if not part.is_of_full_rank
    ]
    if at_infinity is None:
        warnings.append(
            f"no extrapolation from {len(ours)} clips: expected {MIN_GROUPS_TO_EXTRAPOLATE} or more"
        )
    fad = {
        "embedding": hearing.name,
        "comparable_with": hearing.comparable_with,
        "dimension": one.dimension,
        "windows": {"reference": one.count, "generated": other.count},
        "distance": frechet_distance(one, other),
        "infinity": None if at_infinity is None else asdict(at_infinity),
    }
    return fad, warnings


def _embedded(hearing: Embedding, clips: AudioSet, label: str, watch: Watch) -> Iterator[Vectors]:
    for index, clip in enumerate(clips.clips()):
        watch(f"{hearing.name}, {label}", index, len(clips.paths))
        yield hearing.embed(_at(clip, hearing.rate_hz))


def _clip_figures(reference: AudioSet, generated: AudioSet, watch: Watch) -> Iterator[ClipFigures]:
    paired = set(paired_names(reference.names, generated.names))
    for index, clip in enumerate(generated.clips()):
        watch("tempo, chroma, loudness", index, len(generated.paths))
        beside = reference.clip(clip.name) if clip.name in paired else None
        yield clip_figures(clip, beside, asked_tempo(clip.path))


def _kl(passt: Passt, reference: AudioSet, generated: AudioSet, watch: Watch) -> dict[str, Any]:
    """The mean divergence of clips of one name."""
    names = paired_names(reference.names, generated.names)
    rows = {}
    for index, name in enumerate(names):
        watch("kl", index, len(names))
        ours, theirs = (
            passt.label_probabilities(_at(one.clip(name), passt.rate_hz))
            for one in (reference, generated)
        )
        rows[name] = kl_divergence(ours, theirs)
    return {
        "labels": passt.name,
        "comparable_with": passt.comparable_with,
        "pairs": len(rows),
        "mean_nats": _mean(list(rows.values())),
        "clips": rows,
    }


def _clap(clap: Clap, generated: AudioSet, source: str, watch: Watch) -> dict[str, Any]:
    """The mean cosine between clips and what they were asked to be."""
    rows = {}
    for index, clip in enumerate(generated.clips()):
        watch("clap", index, len(generated.paths))
        caption = caption_of(clip.path)
        if caption is not None:
            heard = clap.embed(_at(clip, clap.rate_hz)).mean(axis=0, keepdims=True)
            rows[clip.name] = mean_cosine(heard, clap.embed_texts([caption]))
    return {
        "checkpoint": source,
        "comparable_with": clap.comparable_with,
        "captioned": len(rows),
        "mean_cosine": _mean(list(rows.values())),
        "clips": rows,
    }


def _summary(clips: Sequence[ClipFigures]) -> dict[str, Any]:
    """Means and medians over the clips that have a figure; null where none has."""

    def having(name: str) -> list[float]:
        values = (getattr(one, name) for one in clips)
        return [value for value in values if value is not None and math.isfinite(value)]

    loudness = having("loudness_lufs")
    tempo = [abs(error) for error in having("tempo_error")]
    forgiven = [abs(error) for error in having("tempo_error_octaves_forgiven")]
    return {
        "chroma_cosine_mean": _mean(having("chroma_cosine")),
        "chroma_pairs": len(having("chroma_cosine")),
        "tempo_error_median": _median(tempo),
        "tempo_within_2_percent": _mean([float(error <= 0.02) for error in tempo]),
        "tempo_within_2_percent_octaves_forgiven": _mean([float(e <= 0.02) for e in forgiven]),
        "beat_f_mean": _mean(having("beat_f")),
        "beat_error_median_ms": _median(having("beat_error_ms")),
        "beats_judged": len(having("beat_f")),
        "loudness_median_lufs": _median(loudness),
        "loudness_spread_db": max(loudness) - min(loudness) if loudness else None,
        "true_peak_highest_dbtp": max(having("true_peak_dbtp"), default=None),
    }


def _at(clip: Clip, rate_hz: int) -> Samples:
    if clip.rate_hz == rate_hz:
        return clip.samples
    resampled: Samples = soxr.resample(clip.samples, clip.rate_hz, rate_hz)
    return resampled


def _set_json(one: AudioSet) -> dict[str, Any]:
    return {
        "folder": str(one.folder),
        "clips": len(one.paths),
        "seconds": one.seconds,
        "rate_hz": one.rate_hz,
    }


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """Loudness that no gate lets through is null in JSON."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in row.items()
    }


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _median(values: list[float]) -> float | None:
    return float(np.median(values)) if values else None
