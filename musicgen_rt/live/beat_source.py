"""The stream's newest samples, which the beat lock listens to and stretches."""

from __future__ import annotations

import numpy as np

from musicgen_rt.live.buffer_writer import Samples


class SourceHistory:
    """Samples [C, N] by stream sample, the last `keep_samples` at least. One thread: the engine's.

    Before the first and after the last sample there is silence.
    """

    def __init__(self, channels: int, keep_samples: int) -> None:
        self._keep_samples = keep_samples
        self._samples = np.zeros((channels, 2 * keep_samples), np.float32)
        self.first_sample = self.end_sample = 0

    def begin(self, sample: int) -> None:
        """What comes next is the stream's sample `sample`; what is kept before it stays."""
        if self.first_sample <= sample <= self.end_sample:
            self.end_sample = sample
        else:
            self.first_sample = self.end_sample = sample

    def append(self, samples: Samples) -> None:
        """The next samples [C, N]."""
        count, room = samples.shape[1], self._samples.shape[1]
        held = self.end_sample - self.first_sample
        if held + count > room:
            kept = min(self._keep_samples, held)
            grown = np.zeros((len(self._samples), max(room, kept + count)), np.float32)
            grown[:, :kept] = self._samples[:, held - kept : held]
            self._samples, held = grown, kept
            self.first_sample = self.end_sample - kept
        self._samples[:, held : held + count] = samples
        self.end_sample += count

    def read(self, first_sample: int, count: int) -> Samples:
        """The samples [C, count] from `first_sample` on, a copy."""
        out = np.zeros((len(self._samples), count), np.float32)
        first = max(first_sample, self.first_sample)
        end = min(first_sample + count, self.end_sample)
        if first < end:
            at = first - self.first_sample
            out[:, first - first_sample : end - first_sample] = self._samples[
                :, at : at + end - first
            ]
        return out
