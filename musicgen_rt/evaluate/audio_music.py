"""Musical figures of clips: chroma beside a reference, tempo and beats beside what was asked.

All hear through librosa, none through the engine's own analysis.
"""

from __future__ import annotations

from dataclasses import dataclass

import librosa
import numpy as np
from numpy.typing import NDArray

from musicgen_rt.evaluate.audio_set import Clip
from musicgen_rt.offline.loudness import LoudnessMeter, TruePeakMeter

Samples = NDArray[np.float32]
Array = NDArray[np.float64]

# MusicGen's chroma: 16384 samples at 32 kHz, a quarter as hop.
_CHROMA_WINDOW_SECONDS = 0.512
# The tolerance of beat tracking's F-measure (Davies et al. 2009; MIREX).
BEAT_TOLERANCE_SECONDS = 0.07
_HOP_SAMPLES = 512
_SHORTEST_FOR_BEATS_SECONDS = 4.0


@dataclass(frozen=True)
class Pulse:
    """What librosa's beat tracker hears: the tempo, and the beats in seconds [n]."""

    bpm: float
    beats_seconds: Array


@dataclass(frozen=True)
class ClipFigures:
    """One clip. None where a figure cannot be had: no reference of its name, no clock, no beats.

    `tempo_error` is heard / asked - 1, `tempo_error_octaves_forgiven` the same beside half and
    twice the asked tempo too. `beat_f` counts beats within 70 ms of asked ones, `beat_error_ms` is
    the median distance of an asked beat from the nearest heard one. Asked is the clock of the
    render's sidecar, or else what is heard in the reference of that name.
    """

    name: str
    seconds: float
    loudness_lufs: float
    true_peak_dbtp: float
    heard_bpm: float | None
    asked_bpm: float | None
    tempo_error: float | None
    tempo_error_octaves_forgiven: float | None
    beat_f: float | None
    beat_error_ms: float | None
    chroma_cosine: float | None


def clip_figures(
    clip: Clip, reference: Clip | None, asked: tuple[float, int] | None
) -> ClipFigures:
    """The figures of a clip beside its reference and the clock it was told (BPM, beats a bar)."""
    loudness = LoudnessMeter(clip.rate_hz, 1)
    peak = TruePeakMeter(clip.rate_hz, 1)
    loudness.add(clip.samples[None])
    peak.add(clip.samples[None])
    heard = pulse(clip.samples, clip.rate_hz)
    wanted = _wanted(clip, reference, asked)
    f = error_ms = ratio = None
    if heard is not None and wanted is not None:
        f, error_ms = beat_agreement(heard.beats_seconds, wanted.beats_seconds)
        ratio = heard.bpm / wanted.bpm
    return ClipFigures(
        name=clip.name,
        seconds=clip.seconds,
        loudness_lufs=loudness.integrated_lufs(),
        true_peak_dbtp=peak.finish(),
        heard_bpm=None if heard is None else heard.bpm,
        asked_bpm=None if wanted is None else wanted.bpm,
        tempo_error=None if ratio is None else ratio - 1.0,
        tempo_error_octaves_forgiven=None if ratio is None else octave_free(ratio) - 1.0,
        beat_f=f,
        beat_error_ms=error_ms,
        chroma_cosine=None if reference is None else chroma_cosine(clip, reference),
    )


def pulse(samples: Samples, rate_hz: int) -> Pulse | None:
    """Tempo and beats of samples [N], None where no steady pulse is heard or it is too short."""
    if len(samples) < _SHORTEST_FOR_BEATS_SECONDS * rate_hz:
        return None
    _, beats = librosa.beat.beat_track(y=samples, sr=rate_hz, hop_length=_HOP_SAMPLES, units="time")
    if len(beats) < 4:
        return None
    # The tracker's own tempo is one of a coarse grid of lags; its beats say it better.
    beat_seconds = float(np.polyfit(np.arange(len(beats)), beats, 1)[0])
    return Pulse(60.0 / beat_seconds, np.asarray(beats, np.float64))


def beat_agreement(heard: Array, asked: Array) -> tuple[float, float]:
    """F-measure within 70 ms, and the median distance in ms of an asked beat to a heard one.

    Both are sorted times in seconds, one or more of each.
    """
    matched = i = j = 0
    while i < len(heard) and j < len(asked):
        if abs(heard[i] - asked[j]) <= BEAT_TOLERANCE_SECONDS:
            matched, i, j = matched + 1, i + 1, j + 1
        elif heard[i] < asked[j]:
            i += 1
        else:
            j += 1
    distances = np.abs(asked[:, None] - heard[None, :]).min(axis=1)
    return 2.0 * matched / (len(heard) + len(asked)), float(np.median(distances) * 1e3)


def octave_free(ratio: float) -> float:
    """A tempo ratio with half and double forgiven: the nearest to 1 of it, its half and double."""
    return min((ratio, ratio / 2, ratio * 2), key=lambda one: abs(np.log(one)))


def chroma_cosine(clip: Clip, reference: Clip) -> float:
    """The mean over frames of the cosine between two clips' chroma, as far as both reach.

    MusicGen (Copet et al. 2023, section 3.2) judges melody conditioning by it.
    """
    ours, theirs = (_chroma(one.samples, one.rate_hz) for one in (clip, reference))
    count = min(ours.shape[1], theirs.shape[1])
    ours, theirs = ours[:, :count], theirs[:, :count]
    lengths = np.linalg.norm(ours, axis=0) * np.linalg.norm(theirs, axis=0)
    sounding = lengths > 0
    if not sounding.any():
        return 0.0
    return float(((ours * theirs).sum(axis=0)[sounding] / lengths[sounding]).mean())


def _wanted(clip: Clip, reference: Clip | None, asked: tuple[float, int] | None) -> Pulse | None:
    if asked is not None:
        beat_seconds = 60.0 / asked[0]
        return Pulse(asked[0], np.arange(0.0, clip.seconds, beat_seconds))
    return None if reference is None else pulse(reference.samples, reference.rate_hz)


def _chroma(samples: Samples, rate_hz: int) -> Array:
    """[12, T], each frame's strongest class at 1."""
    window = round(_CHROMA_WINDOW_SECONDS * rate_hz)
    chroma: Array = librosa.feature.chroma_stft(
        y=samples, sr=rate_hz, n_fft=window, hop_length=window // 4, tuning=0.0
    ).astype(np.float64)
    return chroma
