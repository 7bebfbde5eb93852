"""Beats and bars of audio that nobody annotated, tracked: good enough to train on, not to judge."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from musicgen_rt.errors import UnsupportedError
from musicgen_rt.train.music.beat_grid import BeatGrid

_BEATS_PER_BAR = 4
_LOW_BAND_HZ = 200.0
_HOP_SAMPLES = 512
_FEWEST_BEATS = 8


def track_grid(
    samples: npt.NDArray[np.float32], rate_hz: int, start_seconds: float = 0.0
) -> BeatGrid | None:
    """The beats of mono samples [N], the first of which are a downbeat's; None if there are few.

    Bars are taken to have four beats, and to begin on the beat on which low notes and drums begin
    most. `start_seconds` is the time of the first sample. Raises UnsupportedError without librosa.
    """
    try:
        import librosa
    except ImportError as error:
        raise UnsupportedError(
            "tracking beats needs librosa: install musicgen-rt[evaluate], or give the beats in a "
            "JSON file beside each audio file"
        ) from error
    _, frames = librosa.beat.beat_track(
        y=samples, sr=rate_hz, hop_length=_HOP_SAMPLES, units="frames"
    )
    if len(frames) < _FEWEST_BEATS:
        return None
    low = librosa.onset.onset_strength(
        y=samples, sr=rate_hz, hop_length=_HOP_SAMPLES, fmax=_LOW_BAND_HZ, n_mels=8
    )
    strengths = low[np.minimum(frames, len(low) - 1)]
    sums = [strengths[phase::_BEATS_PER_BAR].mean() for phase in range(_BEATS_PER_BAR)]
    beats = start_seconds + frames[int(np.argmax(sums)) :] * (_HOP_SAMPLES / rate_hz)
    return BeatGrid(tuple(float(beat) for beat in beats), _BEATS_PER_BAR)
