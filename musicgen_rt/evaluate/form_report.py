"""`evaluate form`: does a rendered song keep to its form, its beats and its loudness?"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from musicgen_rt.audio_input import audio_info, read_audio
from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.errors import ParameterError
from musicgen_rt.evaluate.form_features import BarFeatures, bar_features, similarity
from musicgen_rt.evaluate.form_pulse import OnsetStrength, fit_beats
from musicgen_rt.evaluate.form_sections import recall_figures, section_similarity
from musicgen_rt.live.song_plan import PlacedSection, SongPlan, compile_song
from musicgen_rt.offline.loudness import LoudnessMeter
from musicgen_rt.offline.sidecar import read_sidecar, sidecar_path

SCHEMA = "musicgen-rt evaluate form 1"
Samples = NDArray[np.float32]
Array = NDArray[np.float64]
Watch = Callable[[str, int, int], None]

# A section may remember more here than any window holds: nothing is played.
_ANY_FRAMES = 1 << 40


@dataclass(frozen=True)
class RenderedSong:
    """A recording with its form: mono samples [N], bar lines in seconds, sections."""

    title: str
    samples: Samples
    rate_hz: int
    frame_rate_hz: float
    plan: SongPlan

    @property
    def sections(self) -> tuple[PlacedSection, ...]:
        """In order."""
        return self.plan.sections

    @property
    def bar_seconds(self) -> list[float]:
        """All bar lines, the last one at the end."""
        last = self.sections[-1]
        count = last.first_bar + last.bars
        return [self.plan.timeline.bar_line_at(n) / self.frame_rate_hz for n in range(count + 1)]

    def beats_seconds(self, section: PlacedSection) -> Array:
        """The asked beats of a section."""
        timeline: Timeline = self.plan.timeline
        first = timeline.beat_at(timeline.bar_line_at(section.first_bar))
        count = section.bars * section.beats_per_bar
        frames = [timeline.frame_at(first + beat) for beat in range(count)]
        return np.asarray(frames) / self.frame_rate_hz


@dataclass(frozen=True)
class Form:
    """All that was heard: for the report and the picture."""

    song: RenderedSong
    features: BarFeatures
    chroma: Array
    timbre: Array
    sections: Array

    @property
    def both(self) -> Array:
        """Chroma and timbre, each for a half: [B, B]."""
        both: Array = (self.chroma + self.timbre) / 2
        return both


def rendered_song(audio: Path, sidecar: Path | None = None) -> RenderedSong:
    """A render of a song, with its form from the sidecar beside it.

    Raises ParameterError where the sidecar is none of a song or of another length, AudioFileError
    for audio that cannot be read.
    """
    path = sidecar_path(audio) if sidecar is None else sidecar
    read = read_sidecar(path)
    if read.recipe.song is None or not read.sections:
        raise ParameterError(
            f"{path} is the sidecar of no song: expected one that render --score wrote"
        )
    mono = read_audio(audio, None, 1)[0]
    rate_hz = audio_info(audio).sample_rate_hz
    first, last = read.sections[0], read.sections[-1]
    frame_rate_hz = last.end_frame * rate_hz / len(mono)
    plan = compile_song(read.recipe.song, round(frame_rate_hz), {}, _ANY_FRAMES, first.first_frame)
    if plan.sections != read.sections or abs(frame_rate_hz - round(frame_rate_hz)) > 0.01:
        raise ParameterError(
            f"{audio} lasts {len(mono) / rate_hz:.2f} s, which is not the song of {path}: expected "
            "the file that was rendered with it"
        )
    return RenderedSong(read.recipe.song.title, mono, rate_hz, float(round(frame_rate_hz)), plan)


def hear_form(song: RenderedSong) -> Form:
    """The bars of a song and how alike they are."""
    features = bar_features(song.samples, song.rate_hz, song.bar_seconds)
    chroma, timbre = similarity(features.chroma), similarity(features.timbre)
    return Form(
        song, features, chroma, timbre, section_similarity((chroma + timbre) / 2, song.sections)
    )


def form_report(form: Form, watch: Watch) -> dict[str, Any]:
    """The report as a value for JSON."""
    song = form.song
    recalls = recalls_of(form)
    onsets = OnsetStrength.of(song.samples, song.rate_hz)
    rows = []
    for index, section in enumerate(song.sections):
        watch("sections", index, len(song.sections))
        rows.append(_section_row(form, section, onsets))
    watch("sections", len(rows), len(rows))
    loudness = [row["loudness_lufs"] for row in rows if row["loudness_lufs"] is not None]
    clear = [row for row in rows if row["beats"] is not None and row["beats"]["is_clear"]]
    return {
        "schema": SCHEMA,
        "title": song.title,
        "seconds": len(song.samples) / song.rate_hz,
        "bars": len(form.chroma),
        "sections": rows,
        "similarity": {
            "names": [section.name for section in song.sections],
            "both": form.sections.round(4).tolist(),
        },
        "recalls": recalls,
        "summary": {
            "recalls": len(recalls["both"]),
            "recalls_closer": sum(one["is_closer"] for one in recalls["both"]),
            "loudness_spread_db": max(loudness) - min(loudness) if loudness else None,
            "bar_level_drift_db_a_minute": _drift(form),
            "sections_with_a_pulse": len(clear),
            "tempo_error_worst": _worst(clear, "tempo_error"),
            "late_worst_ms": _worst(clear, "late_ms"),
            "bar_line_error_worst_ms": max(row["bar_line_error_ms"] for row in rows),
        },
    }


def recalls_of(form: Form) -> dict[str, list[dict[str, Any]]]:
    """How alike recalled sections and their first statements are: in both, chroma, timbre."""
    alike = {
        "both": form.sections,
        "chroma": section_similarity(form.chroma, form.song.sections),
        "timbre": section_similarity(form.timbre, form.song.sections),
    }
    return {
        name: [
            {**asdict(one), "is_closer": one.is_closer}
            for one in recall_figures(values, form.song.sections)
        ]
        for name, values in alike.items()
    }


def _section_row(form: Form, section: PlacedSection, onsets: OnsetStrength) -> dict[str, Any]:
    song = form.song
    begin, end = (
        round(frame / song.frame_rate_hz * song.rate_hz)
        for frame in (section.first_frame, section.end_frame)
    )
    meter = LoudnessMeter(song.rate_hz, 1)
    meter.add(song.samples[None, begin:end])
    lufs = meter.integrated_lufs()
    fit = fit_beats(onsets, song.beats_seconds(section))
    exact_frame = song.plan.timeline.bar_line_at(section.first_bar)
    return {
        **asdict(section),
        "seconds": [begin / song.rate_hz, end / song.rate_hz],
        "loudness_lufs": lufs if math.isfinite(lufs) else None,
        "beats": None if fit is None else {**asdict(fit), "is_clear": fit.is_clear},
        "bar_line_error_ms": abs(section.first_frame - exact_frame) / song.frame_rate_hz * 1e3,
    }


def _drift(form: Form) -> float:
    """The slope of a line through the bars' levels: a song that swells or fades has one."""
    middles = np.convolve(form.song.bar_seconds, [0.5, 0.5], "valid") / 60.0
    if len(middles) < 2:
        return 0.0
    return float(np.polyfit(middles, form.features.level_db, 1)[0])


def _worst(rows: list[dict[str, Any]], name: str) -> float | None:
    return max((row["beats"][name] for row in rows), key=abs, default=None)
