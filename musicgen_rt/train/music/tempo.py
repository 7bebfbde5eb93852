"""The tempo of a clip: mostly steady, at times a step or a ramp, begun anywhere in a bar."""

from __future__ import annotations

import numpy as np

from musicgen_rt.train.music.beat_grid import BeatGrid, FloatArray, build_grid
from musicgen_rt.train.music.mood import Mood
from musicgen_rt.train.music.style import Style

BPM_RANGE = (60.0, 180.0)
_CHANGING_SHARE = 0.1


def plan_grid(
    rng: np.random.Generator, style: Style, mood: Mood, beats_per_bar: int, seconds: float
) -> tuple[BeatGrid, float]:
    """The beats of a clip of `seconds`, and the tempo in which it begins.

    Three tempos of four are whole numbers. One clip in ten changes its tempo: by a step on a bar
    line or a ramp over some bars, up to a quarter up or down, inside `BPM_RANGE`.
    """
    bpm = mood.tempo(rng, *style.bpm)
    bpm = float(round(bpm)) if rng.random() < 0.75 else round(bpm, 1)
    beats = int(np.ceil(seconds * BPM_RANGE[1] / 60.0)) + 2 * beats_per_bar
    bpm_of_beat = np.full(beats, bpm)
    if rng.random() < _CHANGING_SHARE:
        bpm_of_beat = _change_tempo(rng, bpm_of_beat, beats_per_bar, seconds)
    phase = 0.0 if rng.random() < 0.3 else float(rng.uniform(0.0, beats_per_bar))
    return build_grid(bpm_of_beat, beats_per_bar, phase, seconds), bpm


def _change_tempo(
    rng: np.random.Generator, bpm_of_beat: FloatArray, beats_per_bar: int, seconds: float
) -> FloatArray:
    """`bpm_of_beat` [E] with a step or a ramp somewhere in the clip's middle."""
    bpm = float(bpm_of_beat[0])
    target = bpm * float(np.exp(rng.uniform(0.05, 0.22) * rng.choice((-1.0, 1.0))))
    target = float(np.clip(target, *BPM_RANGE))
    bars = seconds * bpm / 60.0 / beats_per_bar
    first_beat = beats_per_bar * max(1, round(bars * float(rng.uniform(0.2, 0.6))))
    ramp_beats = 0 if rng.random() < 0.5 else beats_per_bar * int(rng.integers(1, 7))
    position = (np.arange(len(bpm_of_beat)) - first_beat + 1.0) / (ramp_beats + 1.0)
    changed: FloatArray = bpm + (target - bpm) * np.clip(position, 0.0, 1.0)
    return changed
