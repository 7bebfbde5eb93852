"""What an ear would object to, as numbers: clipping, DC, hum, zipper noise, dead bands, stutter.

None of them is a fault by itself: drums clip a little in loud mixes, an organ stutters by nature.
They are to be read beside the same figures of music that is known to be sound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import librosa
import numpy as np
import scipy.signal
from numpy.typing import NDArray

from musicgen_rt.evaluate.audio_distance import line_excess_db, power_spectrum
from musicgen_rt.evaluate.pocket_hearing import Array
from musicgen_rt.evaluate.pocket_pieces import Samples

_CLIPPED = 0.999
_SILENCE_DB = -60.0
# Envelope noise is looked for above the notes, where upsampling leaves it.
_ZIPPER_LOWEST_HZ = 2000.0
_ENVELOPE_RATE_HZ = 1000
_NEIGHBOURS_HZ = (3.0, 15.0)
_DEAD_BELOW_PEAK_DB = 75.0
_MEL_BANDS = 64
_MEL_LOWEST_HZ, _MEL_HIGHEST_HZ = 50.0, 14_000.0
_ALIKE = 0.9995
_LONGEST_REPEAT_FRAMES = 5


@dataclass(frozen=True)
class EarFigures:
    """Figures of one recording; times in seconds, levels in dB.

    `dc_db` is the mean against the RMS. `frame_line_*` is how far lines at multiples of the frame
    rate stand out above 1 kHz, `zipper_db` how far the envelope flutters at the frame rate and
    twice it more than beside them. `dead_bands` of 64 never come within 75 dB of the loudest.
    `stutter_share` is that of frames that repeat one of the five before them exactly.
    """

    peak: float
    clipped_share: float
    longest_clip_samples: int
    dc_db: float
    frame_line_mean_db: float
    frame_line_worst_db: float
    zipper_db: float
    dead_bands: int
    stutter_share: float
    longest_stutter_seconds: float
    longest_silence_seconds: float


def ear_figures(samples: Samples, rate_hz: int, frame_rate_hz: int) -> EarFigures:
    """The figures of mono samples [N] of a second or more."""
    clipped = np.abs(samples) >= _CLIPPED
    lines = line_excess_db(power_spectrum(samples, rate_hz), frame_rate_hz)
    frame = rate_hz // frame_rate_hz
    stutters = _stutters(samples, frame)
    rms = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
    return EarFigures(
        peak=round(float(np.abs(samples).max(initial=0.0)), 4),
        clipped_share=round(float(clipped.mean()), 6),
        longest_clip_samples=_longest_run(clipped),
        dc_db=round(20 * math.log10(abs(float(samples.mean())) / max(rms, 1e-9) + 1e-9), 1),
        frame_line_mean_db=round(float(lines.mean()), 2),
        frame_line_worst_db=round(float(lines.max()), 2),
        zipper_db=round(zipper_db(samples, rate_hz, frame_rate_hz), 2),
        dead_bands=dead_bands(samples, rate_hz),
        stutter_share=round(float(stutters.mean()), 4) if len(stutters) else 0.0,
        longest_stutter_seconds=round(_longest_run(stutters) / frame_rate_hz, 2),
        longest_silence_seconds=round(_longest_run(_silent(samples, frame)) / frame_rate_hz, 2),
    )


def zipper_db(samples: Samples, rate_hz: int, frame_rate_hz: int) -> float:
    """How far the treble's envelope flutters at the frame rate (or twice it) above beside it."""
    sections = scipy.signal.butter(4, _ZIPPER_LOWEST_HZ, "highpass", fs=rate_hz, output="sos")
    treble = np.abs(scipy.signal.sosfilt(sections, samples))
    step = rate_hz // _ENVELOPE_RATE_HZ
    whole = len(treble) // step * step
    envelope = treble[:whole].reshape(-1, step).mean(axis=1)
    frequencies, power = scipy.signal.welch(
        envelope - envelope.mean(), _ENVELOPE_RATE_HZ, nperseg=min(len(envelope), 2048)
    )
    return max(
        _excess_db(frequencies, power, line) for line in (frame_rate_hz, 2.0 * frame_rate_hz)
    )


def dead_bands(samples: Samples, rate_hz: int) -> int:
    """How many of 64 mel bands between 50 Hz and 14 kHz hold nothing at any time."""
    mel = librosa.feature.melspectrogram(
        y=samples, sr=rate_hz, n_mels=_MEL_BANDS, fmin=_MEL_LOWEST_HZ, fmax=_MEL_HIGHEST_HZ
    )
    loudest = librosa.power_to_db(np.percentile(mel, 99, axis=1) + 1e-15, top_db=None)
    return int((loudest < loudest.max() - _DEAD_BELOW_PEAK_DB).sum())


def _excess_db(frequencies: Array, power: Array, line_hz: float) -> float:
    distance = np.abs(frequencies - line_hz)
    near, far = _NEIGHBOURS_HZ
    at = power[distance <= 1.0].max(initial=0.0)
    beside = power[(distance >= near) & (distance <= far)]
    return float(10 * np.log10((at + 1e-15) / (np.median(beside) + 1e-15)))


def _stutters(samples: Samples, frame: int) -> NDArray[np.bool_]:
    """Which frames are the same wave as one of the few before them, silence left out."""
    count = len(samples) // frame
    rows = samples[: count * frame].reshape(count, frame).astype(np.float64)
    norms = np.linalg.norm(rows, axis=1)
    sounds = ~_silent(samples, frame)
    repeats = np.zeros(count, dtype=bool)
    for lag in range(1, min(_LONGEST_REPEAT_FRAMES, count - 1) + 1):
        inner = (rows[lag:] * rows[:-lag]).sum(axis=1)
        alike = inner >= _ALIKE * np.maximum(norms[lag:], norms[:-lag]) ** 2
        repeats[lag:] |= alike & sounds[lag:]
    return repeats


def _silent(samples: Samples, frame: int) -> NDArray[np.bool_]:
    """Which frames are below -60 dB."""
    count = len(samples) // frame
    rows = samples[: count * frame].reshape(count, frame).astype(np.float64)
    silent: NDArray[np.bool_] = np.mean(rows**2, axis=1) < 10 ** (_SILENCE_DB / 10)
    return silent


def _longest_run(flags: NDArray[np.bool_]) -> int:
    """The length of the longest stretch of True."""
    edges = np.diff(np.concatenate([[0], flags.astype(np.int8), [0]]))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return int((ends - starts).max(initial=0))
