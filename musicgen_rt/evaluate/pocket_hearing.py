"""What the judges hear of a take: spectrograms and onset strengths, all of them librosa's."""

from __future__ import annotations

from dataclasses import dataclass

import librosa
import numpy as np
from numpy.typing import NDArray

from musicgen_rt.evaluate.pocket_pieces import Samples, Take

Array = NDArray[np.float64]

MEL_RATE_HZ = 100
CQT_RATE_HZ = 50
MEL_BANDS = 64
CQT_BINS = 72
BINS_PER_OCTAVE = 12
# The bands of `onsets`, as edges in mel bands: kick and bass, snare and chords, ..., hats.
ONSET_EDGES = (0, 6, 16, 32, 48, 64)

# In bins: below F#3, up to C5, above.
_NOTE_RANGES = ((0, 18), (18, 36), (36, CQT_BINS))
_FFT_SAMPLES = 2048
_LOWEST_HZ, _HIGHEST_HZ = 30.0, 15_000.0
_LOWEST_NOTE_HZ = 65.40639  # C2
_RANGE_DB = 70.0
_SILENCE_DB = -90.0


@dataclass(frozen=True)
class Hearing:
    """`log_mel` [64, T] in dB at 100 Hz, `cqt` [72, T'] at 50 Hz.

    Beside the mel bands, `onsets` [5, T] is what begins in five of their ranges, and
    `note_onsets` [3, T] which notes begin: low, middle and high.
    """

    log_mel: Array
    cqt: Array
    onsets: Array
    note_onsets: Array
    seconds: float


def listen(take: Take) -> Hearing:
    """Hears a take once, for all judges."""
    samples, rate_hz = take.samples, take.rate_hz
    mel = librosa.feature.melspectrogram(
        y=samples,
        sr=rate_hz,
        n_fft=_FFT_SAMPLES,
        hop_length=rate_hz // MEL_RATE_HZ,
        n_mels=MEL_BANDS,
        fmin=_LOWEST_HZ,
        fmax=_HIGHEST_HZ,
    )
    log_mel = librosa.power_to_db(mel, ref=1.0, top_db=None).astype(np.float64)
    cqt = np.abs(
        librosa.cqt(
            samples,
            sr=rate_hz,
            hop_length=rate_hz // CQT_RATE_HZ,
            fmin=_LOWEST_NOTE_HZ,
            n_bins=CQT_BINS,
            bins_per_octave=BINS_PER_OCTAVE,
        )
    ).astype(np.float64)
    return Hearing(
        log_mel, cqt, _onsets(log_mel, rate_hz), _note_onsets(cqt, log_mel.shape[1]), take.seconds
    )


def audible(log_mel: Array, range_db: float = _RANGE_DB) -> Array:
    """The spectrogram with all that is far below its loudest moment raised to one floor."""
    peak = max(float(log_mel.max()), _SILENCE_DB)
    return np.maximum(log_mel, peak - range_db)


def _onsets(log_mel: Array, rate_hz: int) -> Array:
    strengths: Array = librosa.onset.onset_strength_multi(
        S=audible(log_mel), sr=rate_hz, channels=list(ONSET_EDGES), center=False
    )
    return strengths.astype(np.float64)


def _note_onsets(cqt: Array, frames: int) -> Array:
    """Rises of notes, mean over each range, at the mel bands' rate: [3, frames]."""
    levels = np.log1p(100.0 * cqt / (cqt.max() + 1e-9))
    rises = np.maximum(np.diff(levels, axis=1, prepend=levels[:, :1]), 0.0)
    places = np.arange(frames) * (CQT_RATE_HZ / MEL_RATE_HZ)
    return np.array(
        [
            np.interp(places, np.arange(cqt.shape[1]), rises[low:high].mean(axis=0))
            for low, high in _NOTE_RANGES
        ]
    )


def onset_envelope(samples: Samples, rate_hz: int, hop_samples: int, window: int) -> Array:
    """librosa's onset strength [T] at a finer hop, whose frame i is about sample i * hop."""
    strength: Array = librosa.onset.onset_strength(
        y=samples, sr=rate_hz, hop_length=hop_samples, n_fft=window
    )
    return strength.astype(np.float64)
