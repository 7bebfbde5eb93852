"""The beats of a clip in seconds: a step-wise tempo map with every beat placed exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BeatGrid:
    """Beat k lies at `edges_seconds[k]`; between two beats the tempo is constant.

    Beat 0 is the downbeat of the bar in which the clip begins, so `edges_seconds[0]` is <= 0 and
    the last edge is past the clip's end. Shape of `edges_seconds`: [E], float64, rising.
    """

    edges_seconds: tuple[float, ...]
    beats_per_bar: int

    def seconds(self, beats: npt.ArrayLike) -> FloatArray:
        """The times of `beats` (fractional ones too); outside the grid the end tempo goes on."""
        edges = np.asarray(self.edges_seconds)
        position = np.asarray(beats, dtype=np.float64)
        index = np.clip(np.floor(position).astype(np.int64), 0, len(edges) - 2)
        times: FloatArray = edges[index] + (position - index) * (edges[index + 1] - edges[index])
        return times

    def beats(self, seconds: npt.ArrayLike) -> FloatArray:
        """The beat positions of times: the inverse of `seconds`."""
        edges = np.asarray(self.edges_seconds)
        times = np.asarray(seconds, dtype=np.float64)
        index = np.clip(np.searchsorted(edges, times, side="right") - 1, 0, len(edges) - 2)
        beats: FloatArray = index + (times - edges[index]) / (edges[index + 1] - edges[index])
        return beats

    def bpm(self, seconds: npt.ArrayLike) -> FloatArray:
        """The tempo at times, in beats a minute."""
        edges = np.asarray(self.edges_seconds)
        times = np.asarray(seconds, dtype=np.float64)
        index = np.clip(np.searchsorted(edges, times, side="right") - 1, 0, len(edges) - 2)
        bpm: FloatArray = 60.0 / (edges[index + 1] - edges[index])
        return bpm

    @property
    def bars(self) -> int:
        """Whole bars on the grid, the last of which reaches the clip's end or passes it."""
        return (len(self.edges_seconds) - 1) // self.beats_per_bar


def build_grid(
    bpm_of_beat: FloatArray, beats_per_bar: int, first_beat_phase: float, seconds: float
) -> BeatGrid:
    """The grid of a clip of `seconds` whose time 0 is at beat `first_beat_phase` of its bar.

    `bpm_of_beat` [E]: the tempo of each beat from the bar's downbeat on; the last one goes on for
    ever. The grid is filled up to a whole bar past the end.
    """
    durations: list[float] = []
    start = _start_of_phase(bpm_of_beat, first_beat_phase)
    elapsed = start
    while elapsed < seconds or len(durations) % beats_per_bar:
        bpm = float(bpm_of_beat[min(len(durations), len(bpm_of_beat) - 1)])
        durations.append(60.0 / bpm)
        elapsed += durations[-1]
    edges = start + np.concatenate([[0.0], np.cumsum(durations)])
    return BeatGrid(tuple(float(edge) for edge in edges), beats_per_bar)


def _start_of_phase(bpm_of_beat: FloatArray, phase_beats: float) -> float:
    """The time (<= 0) of beat 0 when time 0 lies `phase_beats` after it."""
    whole = int(phase_beats)
    lengths = [60.0 / float(bpm_of_beat[min(k, len(bpm_of_beat) - 1)]) for k in range(whole + 1)]
    return -(sum(lengths[:whole]) + (phase_beats - whole) * lengths[whole])
