"""The picture of a rendered file: the melody that was asked for over what came of it."""

from __future__ import annotations

from pathlib import Path

import soundfile

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.errors import ParameterError
from musicgen_rt.evaluate.melody_picture import HOPS_A_SECOND, draw_melody
from musicgen_rt.offline.recipe import NUMBERS
from musicgen_rt.offline.sidecar import read_sidecar, sidecar_path


def require_melody_of(sidecar: Path) -> None:
    """Raise ParameterError unless a sidecar has a melody to draw."""
    if read_sidecar(sidecar).recipe.melody is None:
        raise ParameterError(
            f"{sidecar} has no melody to draw: render with --melody, or leave --plot out"
        )


def draw_render(audio: Path, picture: Path, given_samples: int) -> None:
    """Draw a rendered file, whose first `given_samples` were continued, as a PNG.

    Raises ParameterError without a melody, UnsupportedError without matplotlib.
    """
    sidecar = sidecar_path(audio)
    require_melody_of(sidecar)
    recipe = read_sidecar(sidecar).recipe
    assert recipe.melody is not None
    samples, rate_hz = soundfile.read(audio, dtype="float32", always_2d=True)
    begin_seconds, seconds = given_samples / rate_hz, len(samples) / rate_hz
    begin_frame = round(begin_seconds * HOPS_A_SECOND)
    frames = round(seconds * HOPS_A_SECOND)
    asked = recipe.melody.frame_classes(-begin_frame, frames, frame_rate_hz=HOPS_A_SECOND)
    beats: list[float] = []
    bars: list[float] = []
    if recipe.bpm is not None:
        meter = recipe.beats_per_bar or int(NUMBERS["beats_per_bar"].default)
        timeline = Timeline.start(recipe.bpm, meter, frame_rate_hz=HOPS_A_SECOND)
        beat = 0
        while (at := begin_seconds + timeline.frame_at(beat) / HOPS_A_SECOND) < seconds:
            (bars if beat % meter == 0 else beats).append(at)
            beat += 1
    title = f"{audio.name}: the asked melody over the chroma of what is heard"
    draw_melody(picture, samples.mean(axis=1), rate_hz, asked.tolist(), title, beats, bars)
