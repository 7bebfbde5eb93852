"""The truth sampled once a codec frame: what frame conditioners are trained on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from musicgen_rt.train.music.events import PlacedNote
from musicgen_rt.train.music.truth import BarActivity, Truth

FRAME_RATE_HZ = 50.0
REST = 12

Times = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class FrameLabels:
    """Labels of T frames; every field is [T].

    `bar_phase` and `beat_phase` go 0-1 through each bar and beat; `bpm` and `beats_per_bar` are
    those in force; `lead_pitch_class` is 0-11, or 12 for a rest. The role flags say whether the
    role sounds in the frame's *bar*, not whether it sounds in that frame.
    """

    bar_phase: Floats
    beat_phase: Floats
    bpm: Floats
    beats_per_bar: Integers
    lead_pitch_class: Integers
    drums: Flags
    bass: Flags
    pad: Flags
    keys: Flags
    lead: Flags


def frame_labels(
    truth: Truth,
    frames: int,
    start_seconds: float = 0.0,
    frame_rate_hz: float = FRAME_RATE_HZ,
    position: float = 0.0,
) -> FrameLabels:
    """The labels of `frames` frames from `start_seconds` on.

    Frame i is looked at at `start_seconds + (i + position) / frame_rate_hz`: its start by default,
    which is how a live clock sees it; 0.5 is its middle. Frames past the clip's end keep the last
    bar's flags, go on in its tempo, and rest.
    """
    offsets = np.arange(frames, dtype=np.float64) + position
    times: Times = start_seconds + offsets / frame_rate_hz
    beats = truth.grid.beats(times)
    return FrameLabels(
        bar_phase=phase_of_turns(beats / truth.beats_per_bar),
        beat_phase=phase_of_turns(beats),
        bpm=truth.grid.bpm(times).astype(np.float32),
        beats_per_bar=np.full(frames, truth.beats_per_bar, dtype=np.int64),
        lead_pitch_class=_pitch_classes(truth.lead_notes, times),
        drums=_flags(truth.bars, "drums", times),
        bass=_flags(truth.bars, "bass", times),
        pad=_flags(truth.bars, "pad", times),
        keys=_flags(truth.bars, "keys", times),
        lead=_flags(truth.bars, "lead", times),
    )


def phase_of_turns(turns: Times) -> Floats:
    """The fraction of each turn, 0 <= phase < 1, [T]; a hair before a turn counts as the turn."""
    phase = np.mod(turns + 1e-9, 1.0).astype(np.float32)
    return np.where(phase >= 1.0, np.float32(0.0), phase)


def _pitch_classes(notes: Iterable[PlacedNote], times: Times) -> Integers:
    """The class of the note that sounds at each time, [T]; `REST` where none does."""
    classes = np.full(len(times), REST, dtype=np.int64)
    for note in notes:
        first, last = np.searchsorted(times, [note.start_seconds, note.end_seconds])
        classes[first:last] = note.pitch % 12
    return classes


def _flags(bars: tuple[BarActivity, ...], role: str, times: Times) -> Flags:
    """Whether `role` sounds in the bar of each time, [T]."""
    starts = np.array([bar.start_seconds for bar in bars])
    index = np.clip(np.searchsorted(starts, times + 1e-9, side="right") - 1, 0, len(bars) - 1)
    return np.array([getattr(bar, role) for bar in bars], dtype=np.bool_)[index]
