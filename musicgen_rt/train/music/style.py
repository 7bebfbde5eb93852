"""What a style of music is to the generator: ranges, habits and sounds to draw from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True)
class DrumHabits:
    """Patterns of 16 steps a 4/4 bar (a step is a quarter of a beat), one string a lane.

    `X` accent, `x` stroke, `o` ghost, `?` perhaps, `.` none. Waltz patterns have 12 steps.
    `backbeats` are what snare or clap play; `hats` are shared by closed and open hat (`O`).
    """

    kicks: tuple[str, ...]
    backbeats: tuple[str, ...]
    hats: tuple[str, ...]
    percussion: tuple[str, ...]
    waltz_kicks: tuple[str, ...]
    waltz_backbeats: tuple[str, ...]
    backbeat_drums: Mapping[str, float]
    kits: Mapping[str, float]
    ghost_share: float
    fill_share: float


@dataclass(frozen=True)
class Style:
    """One style. Weights are relative; shares are probabilities 0-1; ranges are (low, high)."""

    name: str
    bpm: Range
    waltz_share: float
    swing: Range
    swing_share: float
    swing_unit_beats: float
    modes: Mapping[str, float]
    chord_shapes: Mapping[str, float]
    chord_bars: Mapping[float, float]
    drums: DrumHabits
    bass_rhythms: tuple[str, ...]
    bass_patches: Mapping[str, float]
    comps: tuple[str, ...]
    key_patches: Mapping[str, float]
    pad_patches: Mapping[str, float]
    lead_patches: Mapping[str, float]
    lead_density: Range
    lead_legato: Range
    sidechain_share: float
    drive: Range
    reverb_seconds: Range
    echo_share: float
    looseness_seconds: float
    moods: tuple[str, ...]
