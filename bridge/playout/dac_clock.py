"""The DAC's clock: when the device's samples are heard, smoothed and checked.

What drivers report jitters by milliseconds, and some report nothing. A delay-locked loop follows
the reports (F. Adriaensen, "Using a DLL to filter time", LAC 2005), faster at first. Reports come
late when the processors are busy and never early, so early ones weigh more. One that is
implausible is left out, and when several in a row are, the loop starts anew there.
"""

from __future__ import annotations

import math

_BANDWIDTH_HZ = 0.1
_FIRST_BANDWIDTH_HZ = 2.0
_SETTLING_REPORTS = 16
# How much a late report weighs beside an early one.
_LATE_WEIGHT = 0.2
# A report so far off is a fault of the report; so many of them in a row are the truth.
_OUTLIER_NS = 20_000_000
_MAX_OUTLIERS = 4
# A DAC time further from now than this is no DAC time.
_MAX_PAST_NS = 200_000_000
_MAX_FUTURE_NS = 2_000_000_000
# Sound cards keep their rate to a few hundred ppm; the loop may need more to catch up.
_MAX_SKEW = 0.01


class DacClock:
    """Device samples to monotonic time. [pump]

    Reports older than what is known are no use; give them in order.
    """

    def __init__(self, rate_hz: int, latency_seconds: float) -> None:
        self._nominal_ns = 1e9 / rate_hz
        self._latency_ns = latency_seconds * 1e9
        self._sample = 0
        self._time_ns: float | None = None
        self._period_ns = self._nominal_ns
        self._reports = 0
        self._outliers = 0
        self.rejected = 0

    @property
    def is_locked(self) -> bool:
        """Whether enough reports came in to rely on the rate."""
        return self._reports >= _SETTLING_REPORTS

    def restart(self) -> None:
        """Forget the phase, as after a hole in the output; the rate is kept."""
        self._time_ns = None
        self._reports = 0
        self._outliers = 0

    def report(self, sample: int, dac_time_ns: int, now_ns: int) -> None:
        """The driver says that `sample` is heard at `dac_time_ns`; zero or nonsense is allowed."""
        if not now_ns - _MAX_PAST_NS <= dac_time_ns <= now_ns + _MAX_FUTURE_NS:
            self.rejected += 1
            return
        if self._time_ns is None:
            self._begin(sample, dac_time_ns)
            return
        elapsed = sample - self._sample
        if elapsed <= 0:
            return
        predicted = self._time_ns + elapsed * self._period_ns
        error = dac_time_ns - predicted
        if abs(error) > _OUTLIER_NS:
            self.rejected += 1
            self._outliers += 1
            if self._outliers > _MAX_OUTLIERS:
                self._begin(sample, dac_time_ns)
            return
        self._outliers = 0
        self._follow(sample, predicted, error, elapsed)

    def time_ns(self, sample: float, queued_from: float, now_ns: int) -> int:
        """When `sample` is heard; by the device's latency if it never said anything plausible.

        `queued_from` is the sample that the device takes next.
        """
        if self._time_ns is None:
            return round(now_ns + self._latency_ns + (sample - queued_from) * self._nominal_ns)
        return round(self._time_ns + (sample - self._sample) * self._period_ns)

    def _begin(self, sample: int, time_ns: int) -> None:
        self._sample = sample
        self._time_ns = float(time_ns)
        self._reports = 0
        self._outliers = 0

    def _follow(self, sample: int, predicted: float, error: float, elapsed: int) -> None:
        share = math.exp(-self._reports / _SETTLING_REPORTS)
        bandwidth_hz = max(_BANDWIDTH_HZ, _FIRST_BANDWIDTH_HZ * share)
        # Stable for reports at any distance.
        w = min(0.5, 2 * math.pi * bandwidth_hz * elapsed * self._nominal_ns / 1e9)
        error *= _LATE_WEIGHT if error > 0 else 1.0
        self._sample = sample
        self._time_ns = predicted + math.sqrt(2) * w * error
        period = self._period_ns + w * w * error / elapsed
        low, high = self._nominal_ns * (1 - _MAX_SKEW), self._nominal_ns * (1 + _MAX_SKEW)
        self._period_ns = min(max(period, low), high)
        self._reports += 1
