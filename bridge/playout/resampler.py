"""The resampler: session rate to device rate, without bursts, at a ratio that may drift.

libsoxr's variable-rate mode serves both cases: its delay is 240 input samples whatever the chunks,
where the fixed-rate filters keep 700 to 1,800 back and give them in bursts.
"""

from __future__ import annotations

import numpy as np
import soxr
from numpy.typing import NDArray

# The most by which the ratio can be changed while running.
MAX_CORRECTION = 0.01
# How fast the count follows what the filter really holds, each chunk.
_FOLLOW = 0.01


class Resampler:
    """A stream of [C, N] in, [N, C] out. [pump]

    `consumed` is the place in the input, in samples, of the next output sample.
    """

    def __init__(
        self, in_rate_hz: int, out_rate_hz: int, channels: int, is_adjustable: bool
    ) -> None:
        self._in_rate_hz = in_rate_hz
        self._out_rate_hz = out_rate_hz
        self._correction = 1.0
        self._received = 0
        self._lag_samples: float | None = None
        self.consumed = 0.0
        self._stream: soxr.ResampleStream | None = None
        if in_rate_hz != out_rate_hz or is_adjustable:
            highest_hz = in_rate_hz * (1 + MAX_CORRECTION)
            self._stream = soxr.ResampleStream(
                highest_hz, out_rate_hz, channels, dtype="float32", vr=True
            )
            self._stream.set_io_ratio(in_rate_hz, out_rate_hz)

    def set_correction(self, correction: float) -> None:
        """Take `correction` times as many input samples for an output sample as the rates say."""
        low, high = 1 - MAX_CORRECTION, 1 + MAX_CORRECTION
        correction = min(max(correction, low), high)
        if self._stream is not None and correction != self._correction:
            self._correction = correction
            self._stream.set_io_ratio(self._in_rate_hz * correction, self._out_rate_hz)

    def process(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """What of the output is ready after `samples`: [N, C]."""
        self._received += samples.shape[1]
        if self._stream is None:
            self.consumed = float(self._received)
            return np.ascontiguousarray(samples.T)
        out: NDArray[np.float32] = self._stream.resample_chunk(np.ascontiguousarray(samples.T))
        self._count(len(out))
        return out

    def _count(self, given: int) -> None:
        self.consumed += given * self._correction * self._in_rate_hz / self._out_rate_hz
        if given == 0:
            return
        lag = self._received - self.consumed
        if self._lag_samples is None:
            self._lag_samples = lag
        # Changes of ratio take effect a little before or after the chunk that they were set for.
        self.consumed += _FOLLOW * (lag - self._lag_samples)
