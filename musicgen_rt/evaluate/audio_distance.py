"""How far decoded audio is from its original, in the terms a listener would use.

All functions take mono float samples [N] of both at the same rate. The spectral ones use
librosa, so that they do not share code with what they judge.
"""

from __future__ import annotations

from collections.abc import Sequence

import librosa
import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

# The melody extractor of MusicGen: 16384 samples at 32 kHz, a quarter as hop.
_CHROMA_WINDOW_SECONDS = 0.512
_LOUDEST_DB_RANGE = 80.0
_ONSET_TOLERANCE_SECONDS = 0.05
# Lines are compared with the bins 4-20 Hz beside them.
_LINE_SKIRT_HZ = (4, 20)
_LOWEST_LINE_HZ = 1000
_HIGH_BAND_HZ = 8000
# Highs this far below the whole of the original count as silence.
_HIGH_BAND_FLOOR = 1e-8


def si_sdr_db(decoded: Samples, original: Samples) -> float:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019)."""
    ours = decoded.astype(np.float64) - decoded.mean()
    theirs = original.astype(np.float64) - original.mean()
    target = theirs * (ours @ theirs / max(theirs @ theirs, 1e-12))
    rest = ours - target
    return float(10 * np.log10(max(target @ target, 1e-12) / max(rest @ rest, 1e-12)))


def chroma_agreement(
    decoded: Samples,
    original: Samples,
    rate_hz: int,
    spans_seconds: Sequence[tuple[float, float]],
) -> tuple[int, int]:
    """Frames in `spans_seconds` whose strongest pitch class agrees, and all such frames."""
    ours, hop_seconds = _strongest_pitch_class(decoded, rate_hz)
    theirs, _ = _strongest_pitch_class(original, rate_hz)
    centres = np.arange(len(theirs)) * hop_seconds
    inside = np.zeros(len(theirs), dtype=bool)
    for start, end in spans_seconds:
        inside |= (centres >= start) & (centres < end)
    return int((ours == theirs)[inside].sum()), int(inside.sum())


def onset_counts(decoded: Samples, original: Samples, rate_hz: int) -> tuple[int, int, int]:
    """Onsets that match within 50 ms, onsets in the decoded audio, onsets in the original."""
    ours = librosa.onset.onset_detect(y=decoded, sr=rate_hz, units="time")
    theirs = librosa.onset.onset_detect(y=original, sr=rate_hz, units="time")
    return _matches(ours, theirs, _ONSET_TOLERANCE_SECONDS), len(ours), len(theirs)


def log_mel_distance_db(decoded: Samples, original: Samples, rate_hz: int) -> float:
    """Mean difference of the mel spectrograms in dB, 80 dB below the original's peak at most."""
    ours, theirs = (
        librosa.feature.melspectrogram(y=audio, sr=rate_hz, n_fft=2048, hop_length=512, n_mels=128)
        for audio in (decoded, original)
    )
    floor = max(float(theirs.max()), 1e-10) * 10 ** (-_LOUDEST_DB_RANGE / 10)
    difference = np.log10(np.maximum(ours, floor)) - np.log10(np.maximum(theirs, floor))
    return float(10 * np.abs(difference).mean())


def power_spectrum(audio: Samples, rate_hz: int) -> NDArray[np.float64]:
    """Summed power in bins of 1 Hz, over Hann windows of one second that overlap by half."""
    window = np.hanning(rate_hz + 1)[:-1]
    total = np.zeros(rate_hz // 2 + 1)
    for start in range(0, len(audio) - rate_hz + 1, rate_hz // 2):
        spectrum = np.fft.rfft(audio[start : start + rate_hz] * window)
        total += np.abs(spectrum) ** 2
    return total


def line_excess_db(spectrum: NDArray[np.float64], spacing_hz: int) -> NDArray[np.float64]:
    """How far each multiple of `spacing_hz` above 1 kHz stands out of its surroundings, in dB.

    `spectrum` has bins of 1 Hz. Constant lines at the codec's frame rate are what upsampling
    leaves; music has none there but by chance.
    """
    near, far = _LINE_SKIRT_HZ
    lines = np.arange(
        -(-_LOWEST_LINE_HZ // spacing_hz) * spacing_hz, len(spectrum) - far, spacing_hz
    )
    offsets = np.concatenate([np.arange(-far, -near + 1), np.arange(near, far + 1)])
    around = np.median(spectrum[lines[:, None] + offsets], axis=1)
    peak = spectrum[lines[:, None] + np.arange(-1, 2)].max(axis=1)
    return np.asarray(10 * np.log10((peak + 1e-12) / (around + 1e-12)))


def high_band_db(
    decoded_spectrum: NDArray[np.float64], original_spectrum: NDArray[np.float64]
) -> float:
    """The power from 8 kHz up of two spectra with bins of 1 Hz, the first relative to the second.

    Below 0 dB the decoded audio is duller than its original.
    """
    floor = _HIGH_BAND_FLOOR * original_spectrum.sum() + 1e-12
    ours, theirs = (
        spectrum[_HIGH_BAND_HZ:].sum() + floor for spectrum in (decoded_spectrum, original_spectrum)
    )
    return float(10 * np.log10(ours / theirs))


def _strongest_pitch_class(audio: Samples, rate_hz: int) -> tuple[NDArray[np.int64], float]:
    window = int(_CHROMA_WINDOW_SECONDS * rate_hz)
    hop = window // 4
    chroma = librosa.feature.chroma_stft(
        y=audio, sr=rate_hz, n_fft=window, hop_length=hop, tuning=0.0
    )
    return chroma.argmax(axis=0), hop / rate_hz


def _matches(ours: NDArray[np.float64], theirs: NDArray[np.float64], tolerance: float) -> int:
    """Pairs of two sorted lists of times within `tolerance`, each time used once."""
    matched = i = j = 0
    while i < len(ours) and j < len(theirs):
        if abs(ours[i] - theirs[j]) <= tolerance:
            matched, i, j = matched + 1, i + 1, j + 1
        elif ours[i] < theirs[j]:
            i += 1
        else:
            j += 1
    return matched
