"""What hears clips for the Fréchet distance: one built in, others through their own libraries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol, Self

import librosa
import numpy as np
from numpy.typing import NDArray

from musicgen_rt.errors import ParameterError
from musicgen_rt.evaluate.audio_networks import Clap, Passt, Vggish

Samples = NDArray[np.float32]
Vectors = NDArray[np.floating]

_FFT_SAMPLES = 1024
_HOP_SAMPLES = 320
_BANDS = 24
_LOWEST_HZ = 60.0
# Quieter than this below full scale is one and the same silence.
_FLOOR_POWER = 1e-8


class Embedding(Protocol):
    """Turns mono audio at `rate_hz` into vectors, one for each window of `window_seconds`.

    `comparable_with` says which published figures may stand beside its own.
    """

    name: ClassVar[str]
    rate_hz: ClassVar[int]
    window_seconds: ClassVar[float]
    comparable_with: ClassVar[str]

    @classmethod
    def load(cls) -> Self:
        """Ready to hear. Raises UnsupportedError where a library or its weights are missing."""
        ...

    def embed(self, samples: Samples) -> Vectors:
        """Samples [N] of at least one window -> [W, D]."""
        ...


class LogMel:
    """The mean and the spread over a second of 24 log-mel bands: no network, no download.

    It hears spectrum and its movement, not music. Two sets can be compared by it on one machine;
    its figures mean nothing beside published ones.
    """

    name: ClassVar[str] = "logmel"
    rate_hz: ClassVar[int] = 16_000
    window_seconds: ClassVar[float] = 1.0
    comparable_with: ClassVar[str] = "nothing published: a statistic of this project's own"

    @classmethod
    def load(cls) -> Self:
        """There is nothing to fetch."""
        return cls()

    def embed(self, samples: Samples) -> Vectors:
        """Samples [N] -> [W, 48] in units of 10 dB."""
        window = round(self.window_seconds * self.rate_hz)
        count = len(samples) // window
        mel = librosa.feature.melspectrogram(
            y=samples[: count * window].reshape(count, window),
            sr=self.rate_hz,
            n_fft=_FFT_SAMPLES,
            hop_length=_HOP_SAMPLES,
            n_mels=_BANDS,
            fmin=_LOWEST_HZ,
        )  # [W, bands, T]
        level = np.log10(np.maximum(mel.astype(np.float64), _FLOOR_POWER))
        return np.concatenate([level.mean(axis=-1), level.std(axis=-1)], axis=1)


EMBEDDINGS: Mapping[str, type[Embedding]] = {one.name: one for one in (LogMel, Vggish, Clap, Passt)}


def embedding(name: str) -> type[Embedding]:
    """The kind of that name, not loaded yet. Raises ParameterError for an unknown one."""
    if name not in EMBEDDINGS:
        raise ParameterError(f"embedding {name!r}: expected one of {', '.join(EMBEDDINGS)}")
    return EMBEDDINGS[name]
