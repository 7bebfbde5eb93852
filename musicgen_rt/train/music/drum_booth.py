"""What every drum recipe needs: random numbers, noise, decays and falling sines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from musicgen_rt.train.music.audio_array import Samples, noise, time_axis
from musicgen_rt.train.music.kit_character import KitCharacter
from musicgen_rt.train.music.random_stream import between, log_uniform


@dataclass(frozen=True)
class Booth:
    """Where one drum is recorded: its random stream, its kit and the sampling rate."""

    rng: np.random.Generator
    kit: KitCharacter
    rate_hz: int

    def between(self, low: float, high: float) -> float:
        """A value drawn for this drum, uniform."""
        return between(self.rng, low, high)

    def log_between(self, low: float, high: float) -> float:
        """A value drawn for this drum, uniform in its logarithm."""
        return log_uniform(self.rng, low, high)

    def samples(self, seconds: float) -> int:
        """`seconds` as a number of samples."""
        return int(seconds * self.rate_hz)

    def noise(self, samples: int) -> Samples:
        """White noise [N]."""
        return noise(self.rng, samples)

    def decay(self, seconds: float, samples: int) -> Samples:
        """An exponential from 1, 60 dB down after `seconds`, [N]."""
        decay: Samples = np.exp(time_axis(samples, self.rate_hz) * np.float32(-6.9 / seconds))
        return decay

    def tone(self, pitch_hz: float, samples: int) -> Samples:
        """A steady sine [N]; silence above the Nyquist frequency's neighbourhood."""
        if pitch_hz > 0.45 * self.rate_hz:
            return np.zeros(samples, dtype=np.float32)
        return self.fall(pitch_hz, pitch_hz, 1.0, samples)

    def fall(self, start_hz: float, end_hz: float, seconds: float, samples: int) -> Samples:
        """A sine that falls from one frequency to the other, by 63 % in `seconds`, [N]."""
        time = np.arange(samples) / self.rate_hz
        bend = seconds * (1.0 - np.exp(-time / seconds))
        turns = end_hz * time + (start_hz - end_hz) * bend
        sine: Samples = np.sin(2.0 * np.pi * turns).astype(np.float32)
        return sine


Recipe = Callable[[Booth], Samples]
