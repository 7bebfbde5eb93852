"""How late an output is heard, by a cable from it to an input: a sweep out, and found again.

The driver says when each block leaves and when each came in; what lies between the two beyond that
is the latency it does not know of. The input's share cannot be told from the output's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musicgen_rt.errors import MusicgenRTError

Samples = NDArray[np.float32]

SWEEP_SECONDS = 0.25
_LOW_HZ, _HIGH_HZ = 300.0, 6000.0
_LEVEL = 0.25
# Of the correlation's peak over its own deviation: noise alone gets to about 5.
_MIN_CLEARNESS = 12.0


class LoopbackError(MusicgenRTError):
    """What was played did not come back."""


@dataclass(frozen=True)
class Take:
    """What was recorded, [N], and both clocks in seconds.

    The sweep's first sample leaves at `dac_seconds`, the recording's first came at `adc_seconds`.
    """

    recorded: Samples
    rate_hz: int
    dac_seconds: float
    adc_seconds: float


def sweep(rate_hz: int) -> Samples:
    """A logarithmic sweep [N] under a raised cosine: its correlation has one sharp peak."""
    count = round(SWEEP_SECONDS * rate_hz)
    time_seconds = np.arange(count) / rate_hz
    growth = np.log(_HIGH_HZ / _LOW_HZ)
    phase = _LOW_HZ * SWEEP_SECONDS / growth * np.exp(time_seconds / SWEEP_SECONDS * growth)
    wave = np.sin(2 * np.pi * phase) * np.hanning(count) * _LEVEL
    return wave.astype(np.float32)


def latency_ms(take: Take) -> float:
    """How much later than the driver says. Raises LoopbackError if the sweep is not in there."""
    at = _find(take.recorded, sweep(take.rate_hz))
    heard_seconds = take.adc_seconds + at / take.rate_hz
    return (heard_seconds - take.dac_seconds) * 1000


def median_latency_ms(takes: list[Take], on_take: Callable[[float], None]) -> float:
    """The median of several; `on_take` is told each. Raises LoopbackError."""
    found = []
    for take in takes:
        found.append(latency_ms(take))
        on_take(found[-1])
    return float(np.median(found))


def _find(recorded: Samples, wave: Samples) -> float:
    """Where the wave begins in the recording, with a fraction of a sample."""
    count = len(recorded)
    size = 1 << (count + len(wave) - 1).bit_length()
    spectrum = np.fft.rfft(recorded, size) * np.conj(np.fft.rfft(wave, size))
    likeness = np.abs(np.fft.irfft(spectrum, size)[:count])
    peak = int(likeness.argmax())
    deviation = float(np.sqrt(np.mean(likeness**2)))
    if deviation == 0 or likeness[peak] < _MIN_CLEARNESS * deviation:
        raise LoopbackError(
            "the sweep was not heard: connect an output to an input of the same device "
            "and turn both up"
        )
    if not 0 < peak < count - 1:
        return float(peak)
    left, top, right = likeness[peak - 1 : peak + 2]
    return peak + 0.5 * (left - right) / (left - 2 * top + right)
