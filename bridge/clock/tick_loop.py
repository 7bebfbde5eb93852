"""The delay-locked loop behind MIDI clock: jittering ticks in, steady beats out.

F. Adriaensen, "Using a DLL to filter time" (LAC 2005). It begins from a straight line through the
first ticks; then its bandwidth narrows from wide, to follow, to narrow, to smooth. Where the errors
keep to one side the host changes its tempo, and the loop widens again. Ticks that are lost are
counted by the time that has passed.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace

_FIRST_BANDWIDTH_HZ = 2.0
_BANDWIDTH_HZ = 0.065
_SETTLING_TICKS = 48
# The errors of so many ticks show whether the tempo changes, when their mean is beyond these.
_TREND_TICKS = 18
_TREND_DEVIATIONS = 1.5
_MIN_TREND_NS = 500_000.0
# Where a tick is expected: so far around, in periods, while the line is drawn and after.
_LINE_REACH, _REACH = 0.9, 0.5
# Ticks that are no ticks of this tempo, in a row, until they are doubted, and believed.
_DOUBTED_TICKS, _STRANGE_TICKS = 3, 4
_SAME_TEMPO = 0.25
# Ticks were lost before them only where there is a gap.
_LOST_PERIODS = 1.5
# A silence of so many periods is a drop-out, not a slower tempo.
_DROPOUT_PERIODS = 6
_MIN_DROPOUT_NS = 80e6
# Further off than its jitter explains, a tick after a silence is that of a host that stood.
_RETURN_DEVIATIONS = 3.0
_MIN_RETURN_NS = 1e6
_VARIANCE_WEIGHT = 0.02
# The line is drawn through so many ticks; they say little as long as they are few.
_LINE_TICKS = 48
_MIN_LINE_TICKS = 8
_LOCK_TICKS = 24


@dataclass(frozen=True)
class Strange:
    """Ticks in a row that came where none was expected; `gap_ns` is what lay before the first."""

    ticks_ns: tuple[float, ...]
    gap_ns: float


class TickLoop:
    """Times of ticks in, [any one thread]; `tick_at` and `period_ns` out.

    `count` numbers the last tick from 0 on, lost ones included.
    """

    def __init__(self) -> None:
        self.count = -1
        self.period_ns = 0.0
        self._next_ns = 0.0
        self._last_ns = 0.0
        self._settled = 0
        self._variance_ns2 = 0.0
        self._recent: deque[float] = deque(maxlen=_TREND_TICKS)
        self._strange: Strange | None = None
        # The first ticks of this tempo; empty when the line is drawn.
        self._line_ns: list[float] = []

    @property
    def is_running(self) -> bool:
        """Whether two ticks have come, so that there is a tempo."""
        return self.period_ns > 0

    @property
    def is_settled(self) -> bool:
        """Whether enough ticks have come to rely on the tempo."""
        is_doubted = self._strange is not None and len(self._strange.ticks_ns) >= _DOUBTED_TICKS
        return self._settled >= _LOCK_TICKS and not is_doubted

    @property
    def jitter_ns(self) -> float:
        """Standard deviation of the ticks around even ones."""
        return math.sqrt(self._variance_ns2)

    @property
    def last_ns(self) -> float:
        """When the last tick came."""
        return self._last_ns

    def tick_at(self, time_ns: float) -> float:
        """The number of the tick at a moment, with its fraction."""
        return self.count + 1 + (time_ns - self._next_ns) / self.period_ns

    def tick(self, time_ns: float) -> None:
        """One tick has come."""
        if self.count < 0:
            self.count = 0
        elif not self.is_running:
            self._begin([self._last_ns, time_ns])
        elif time_ns - self._last_ns > max(_MIN_DROPOUT_NS, _DROPOUT_PERIODS * self.period_ns):
            self._return(time_ns)
        else:
            self._expected(time_ns)
        self._last_ns = time_ns

    def _begin(self, ticks_ns: list[float]) -> None:
        """Begin anew with the tempo of these ticks, of which the last one is not counted yet."""
        if ticks_ns[-1] <= ticks_ns[0]:  # two in one packet say nothing
            return
        self.count += 1
        self._recent.clear()
        self._strange = None
        self._line_ns = ticks_ns
        self._draw_line()

    def _draw_line(self) -> None:
        """Tempo and phase by least squares."""
        ticks_ns = self._line_ns
        count = len(ticks_ns)
        middle, mean_ns = (count - 1) / 2, sum(ticks_ns) / count
        slope = sum((n - middle) * (one - mean_ns) for n, one in enumerate(ticks_ns))
        self.period_ns = slope * 12 / (count * (count**2 - 1))
        self._next_ns = mean_ns + (count - middle) * self.period_ns
        begin_ns = self._next_ns - count * self.period_ns
        errors_ns = (one - begin_ns - n * self.period_ns for n, one in enumerate(ticks_ns))
        self._variance_ns2 = sum(one**2 for one in errors_ns) / count
        self._settled = count
        if count >= _LINE_TICKS:
            self._line_ns = []

    def _return(self, time_ns: float) -> None:
        """The first tick after a silence: the host has counted on, or it begins anew with it."""
        lost = max(0, round((time_ns - self._next_ns) / self.period_ns))
        self.count += lost
        self._next_ns += lost * self.period_ns
        self._line_ns = []
        self._strange = None
        self._recent.clear()
        reach_ns = _RETURN_DEVIATIONS * self.jitter_ns + _MIN_RETURN_NS
        if abs(time_ns - self._next_ns) > reach_ns:
            self._next_ns = time_ns
            self._settled = min(self._settled, _LOCK_TICKS)
        self._expected(time_ns)

    def _expected(self, time_ns: float) -> None:
        error_ns = time_ns - self._next_ns
        is_rough = 0 < len(self._line_ns) < _MIN_LINE_TICKS
        reach = _LINE_REACH if self._line_ns else _REACH
        if abs(error_ns) > reach * self.period_ns and not is_rough:
            self._wonder(time_ns)
            return
        self._strange = None
        self.count += 1
        if self._line_ns and time_ns > self._line_ns[-1]:
            self._line_ns.append(time_ns)
            self._draw_line()
        else:
            self._follow(error_ns)

    def _follow(self, error_ns: float) -> None:
        share = math.exp(-self._settled / _SETTLING_TICKS)
        bandwidth_hz = max(_BANDWIDTH_HZ, _FIRST_BANDWIDTH_HZ * share)
        w = min(0.6, 2 * math.pi * bandwidth_hz * self.period_ns * 1e-9)
        self._next_ns += math.sqrt(2) * w * error_ns + self.period_ns
        self.period_ns += w * w * error_ns
        self._settled += 1
        if self._recent:  # by successive differences, so that a trend does not hide in its own size
            apart_ns2 = (error_ns - self._recent[-1]) ** 2 / 2
            self._variance_ns2 += _VARIANCE_WEIGHT * (apart_ns2 - self._variance_ns2)
        self._look_for_trend(error_ns)

    def _look_for_trend(self, error_ns: float) -> None:
        self._recent.append(error_ns)
        if len(self._recent) < _TREND_TICKS or self._settled < _SETTLING_TICKS:
            return
        mean_ns = sum(self._recent) / _TREND_TICKS
        if abs(mean_ns) > max(_MIN_TREND_NS, _TREND_DEVIATIONS * self.jitter_ns):
            self._settled = _LOCK_TICKS
            self._recent.clear()

    def _wonder(self, time_ns: float) -> None:
        """A tick where none was expected: an odd one out, lost ones before it, or a new tempo."""
        before = self._strange or Strange((), time_ns - self._last_ns)
        now = self._strange = replace(before, ticks_ns=(*before.ticks_ns, time_ns))
        if self._line_ns:  # a line through ticks of which one is left out would be a wrong one
            self._line_ns = []
        ticks_ns = list(now.ticks_ns)
        if len(ticks_ns) < _STRANGE_TICKS or ticks_ns[-1] <= ticks_ns[0]:
            # Taken for the next one, and followed a little: the loop itself may be off.
            self.count += 1
            reach_ns = _REACH * self.period_ns
            self._follow(min(max(time_ns - self._next_ns, -reach_ns), reach_ns))
            return
        period_ns = (ticks_ns[-1] - ticks_ns[0]) / (len(ticks_ns) - 1)
        are_lost = now.gap_ns > _LOST_PERIODS * self.period_ns
        if not are_lost or abs(period_ns / self.period_ns - 1) > _SAME_TEMPO:
            self._begin(ticks_ns)
            return
        shift = round((time_ns - self._next_ns) / self.period_ns)
        self.count += shift
        self._next_ns += shift * self.period_ns
        self._line_ns = []
        self._recent.clear()
        self._expected(time_ns)
