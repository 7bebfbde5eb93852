"""Whether the melody that was asked for is what is heard.

The strongest pitch class of librosa's chroma at each frame in which a note is asked for. In a full
mix a chord or the bass wins at times, on true material too; the generator's own takes say how
often, and the melody of another request says what chance gives.
"""

from __future__ import annotations

import librosa
import numpy as np
from numpy.typing import NDArray

from musicgen_rt.evaluate.pocket_pieces import Take

REST = 12
FRAME_RATE_HZ = 50
_FFT_SAMPLES = 8192
# A note's beginning still sounds of the one before it.
_ONSET_SECONDS = 0.03


def asked_classes(take: Take) -> NDArray[np.int64]:
    """The pitch class asked for at each frame [T], `REST` where none is."""
    frames = int(take.seconds * FRAME_RATE_HZ)
    times = np.arange(frames) / FRAME_RATE_HZ
    classes = np.full(frames, REST, dtype=np.int64)
    for note in take.request.melody:
        sounds = (times >= note.start_seconds + _ONSET_SECONDS) & (times < note.end_seconds)
        classes[sounds] = note.pitch % 12
    return classes


def heard_classes(take: Take) -> NDArray[np.int64]:
    """The strongest pitch class at each frame [T]."""
    chroma = librosa.feature.chroma_stft(
        y=take.samples,
        sr=take.rate_hz,
        n_fft=_FFT_SAMPLES,
        hop_length=take.rate_hz // FRAME_RATE_HZ,
        tuning=0.0,
    )
    classes: NDArray[np.int64] = chroma.argmax(axis=0)
    return classes[: int(take.seconds * FRAME_RATE_HZ)]


def melody_agreement(heard: NDArray[np.int64], asked: NDArray[np.int64]) -> tuple[int, int]:
    """Frames that agree, and all in which a note is asked for."""
    frames = min(len(heard), len(asked))
    sounds = asked[:frames] != REST
    return int(((heard[:frames] == asked[:frames]) & sounds).sum()), int(sounds.sum())
