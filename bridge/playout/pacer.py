"""The pacer: keeps the music to the host's clock where the sound card's runs at another rate.

The loop of zita-ajbridge (F. Adriaensen, "Controlling adaptive resampling", LAC 2012): the error
is how far the music that is heard is ahead of where the host's clock says it should be.
"""

from __future__ import annotations

import math

# Quick for some seconds, then so slow that the correction is not heard as vibrato.
_FIRST_BANDWIDTH_HZ = 0.2
_BANDWIDTH_HZ = 0.02
_FIRST_SECONDS = 4.0
_MAX_CORRECTION = 0.005
# Further off it is no drift: the music was stopped, or the device gone. Begin anew.
_MAX_ERROR_SECONDS = 0.1


class Pacer:
    """The resampler's correction from pairs of heard session sample and monotonic time. [pump]"""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._seconds_begun = 0.0
        self._anchor: tuple[float, int] | None = None
        self._last_ns = 0
        self._filtered = 0.0
        self._smoothed = 0.0
        self._integral = 0.0
        self.error_samples = 0.0

    def restart(self) -> None:
        """Take the next pair as the truth; the rate that was found is kept."""
        self._anchor = None
        self._filtered = 0.0
        self._smoothed = 0.0
        self.error_samples = 0.0

    @property
    def drift_ppm(self) -> float:
        """How much faster than the host's clock the device was found to run."""
        return self._integral * 1e6

    def correction(self, heard_sample: float, time_ns: int) -> float:
        """How many times the nominal number of session samples to take for a device sample."""
        if self._anchor is None:
            self._anchor = (heard_sample, time_ns)
            self._last_ns = time_ns
            return 1.0 - self._integral
        sample, began_ns = self._anchor
        expected = sample + (time_ns - began_ns) * 1e-9 * self._rate_hz
        self.error_samples = heard_sample - expected
        if abs(self.error_samples) > _MAX_ERROR_SECONDS * self._rate_hz:
            self.restart()
            return 1.0 - self._integral
        self._step((time_ns - self._last_ns) * 1e-9)
        self._last_ns = time_ns
        total = self._smoothed + self._integral
        return 1.0 - min(max(total, -_MAX_CORRECTION), _MAX_CORRECTION)

    def _step(self, seconds: float) -> None:
        if seconds <= 0:
            return
        self._seconds_begun += seconds
        is_early = self._seconds_begun < _FIRST_SECONDS
        w = 2 * math.pi * (_FIRST_BANDWIDTH_HZ if is_early else _BANDWIDTH_HZ) * seconds
        smoothing = 1 - math.exp(-20 * w)
        proportional = 1.5 * w / (seconds * self._rate_hz)
        self._filtered += smoothing * (proportional * self.error_samples - self._filtered)
        self._smoothed += smoothing * (self._filtered - self._smoothed)
        self._integral += w / 1.5 * self._smoothed
