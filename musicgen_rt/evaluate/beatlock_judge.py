"""How far the beats of heard music lie from the session's: librosa's beat tracker says.

The tracker is told about how fast the beats are and nothing else, and hears the music in windows,
so that it can follow a change of tempo. Two things about it are known beforehand. It marks a beat
some milliseconds off its attack: so much, measured on drums that are exactly in time, is taken off.
And on music with strong off-beats it may choose those: errors are measured to the nearest eighth,
and how many of its beats are whole beats is told beside them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.evaluate.beatlock_drums import DrumLoop
from musicgen_rt.evaluate.pocket_hearing import Array, onset_envelope
from musicgen_rt.evaluate.pocket_tempo import tracked_beats

MEDIAN_BOUND_MS, P95_BOUND_MS = 15.0, 40.0

_HOP_SAMPLES = 160
_WINDOW = 1024
_PIECE_SECONDS = 12.0
# The tracker's beats at the ends of a piece are guesses.
_MARGIN_SECONDS = 1.0
_EIGHTHS = 2
_BIAS_SECONDS = 24.0


@dataclass(frozen=True)
class BeatErrors:
    """`times_seconds` [N] of tracked beats, how late each is in ms [N], whether on a whole beat."""

    times_seconds: Array
    late_ms: Array
    is_whole: NDArray[np.bool_]

    def figures(self) -> dict[str, float | int | bool | None]:
        """What a report says of them; None where no beats were found."""
        if not len(self.late_ms):
            return {"beats": 0, "median_ms": None, "p95_ms": None, "is_within_bounds": False}
        off_ms = np.abs(self.late_ms)
        median_ms, p95_ms = float(np.median(off_ms)), float(np.percentile(off_ms, 95))
        return {
            "beats": len(off_ms),
            "median_ms": round(median_ms, 2),
            "p95_ms": round(p95_ms, 2),
            "late_ms": round(float(np.median(self.late_ms)), 2),
            "whole_beats": round(float(self.is_whole.mean()), 3),
            "is_within_bounds": median_ms <= MEDIAN_BOUND_MS and p95_ms <= P95_BOUND_MS,
        }


def tracker_late_ms(bpm: float, rate_hz: int) -> float:
    """How late librosa's tracker marks the beats of drums that are exactly in time."""
    samples = DrumLoop(bpm=bpm).render(_BIAS_SECONDS)[0]
    timeline = Timeline.start(bpm)
    return float(np.median(_errors(samples, rate_hz, timeline, 0.0).late_ms))


def beat_errors(samples: NDArray[np.float32], rate_hz: int, timeline: Timeline) -> BeatErrors:
    """The errors of mono `samples` [N], whose first one is heard at frame 0 of the timeline."""
    middle = timeline.bpm_at(len(samples) / rate_hz / 2 * float(timeline.frame_rate_hz))
    return _errors(samples, rate_hz, timeline, tracker_late_ms(middle, rate_hz))


def _errors(
    samples: NDArray[np.float32], rate_hz: int, timeline: Timeline, bias_ms: float
) -> BeatErrors:
    frames_a_second = float(timeline.frame_rate_hz)
    times = _tracked(samples, rate_hz, timeline) - bias_ms / 1000
    eighths = np.array([_EIGHTHS * timeline.beat_at(t * frames_a_second) for t in times])
    nearest = np.round(eighths)
    bpm = np.array([timeline.bpm_at(t * frames_a_second) for t in times])
    late_ms = (eighths - nearest) / _EIGHTHS * 60_000 / bpm if len(times) else np.zeros(0)
    return BeatErrors(times, late_ms, nearest % _EIGHTHS == 0)


def _tracked(samples: NDArray[np.float32], rate_hz: int, timeline: Timeline) -> Array:
    """The times in seconds of the tracker's beats, piece by piece."""
    envelope = onset_envelope(samples, rate_hz, _HOP_SAMPLES, _WINDOW)
    hops_a_second = rate_hz / _HOP_SAMPLES
    total = len(samples) / rate_hz
    found = []
    for first in np.arange(0.0, max(total - _PIECE_SECONDS / 2, 0.1), _PIECE_SECONDS):
        begin, end = max(0.0, first - _MARGIN_SECONDS), first + _PIECE_SECONDS + _MARGIN_SECONDS
        piece = envelope[int(begin * hops_a_second) : int(end * hops_a_second)]
        middle = min((begin + end) / 2, total)
        bpm = timeline.bpm_at(middle * float(timeline.frame_rate_hz))
        times = (
            tracked_beats(piece, hops_a_second, bpm) + int(begin * hops_a_second) / hops_a_second
        )
        inside = (times >= first) & (times < min(first + _PIECE_SECONDS, total - _MARGIN_SECONDS))
        found.append(times[inside])
    return np.concatenate(found)
