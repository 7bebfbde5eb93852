"""The gate: the transport's stop and play, to the sample.

Closed, the playhead stands still and silence goes out. It closes with a fade that ends on the
sample asked for, so that what begins there is not heard; it opens from where it stands.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bridge.playout.fade import Ramp

MAX_FADE_SECONDS = 0.05
# Shorter, when there is no time left before the sample asked for.
_MIN_FADE_SECONDS = 0.005


@dataclass(frozen=True)
class Gate:
    """A value: `close` and `open` give another. `stop_sample` is where the playhead will stand.

    What is heard is the product of `opening` and `closing`.
    """

    rate_hz: int
    fade_samples: int
    opening: Ramp
    closing: Ramp
    stop_sample: int | None

    @classmethod
    def start(cls, rate_hz: int, fade_seconds: float, is_open: bool, position: int) -> Gate:
        """A gate that has always been open, or is closed at `position`."""
        fade_samples = round(min(fade_seconds, MAX_FADE_SECONDS) * rate_hz)
        always = Ramp.constant(1.0)
        return cls(rate_hz, fade_samples, always, always, None if is_open else position)

    def is_standing(self, position: int) -> bool:
        """Whether the playhead stands still at `position`."""
        return self.stop_sample is not None and position >= self.stop_sample

    def close(self, position: int, sample: int | None) -> Gate:
        """Let the music end exactly at `sample`, or as soon as a fade allows."""
        earliest = position + self._min_fade_samples
        stop = position + self.fade_samples if sample is None else max(sample, earliest)
        begin = max(position, stop - self.fade_samples)
        closing = Ramp(begin, stop, self.closing.at(position - 1), 0.0)
        return replace(self, closing=closing, stop_sample=stop)

    def stand(self, position: int) -> Gate:
        """Stand still at once, where nothing is heard anyway."""
        return replace(self, stop_sample=position)

    def open(self, position: int) -> Gate:
        """Go on from `position`, from the gain that is heard there."""
        gain = 0.0
        if not self.is_standing(position):
            gain = self.opening.at(position - 1) * self.closing.at(position - 1)
        opening = Ramp(position, position + self._min_fade_samples, gain, 1.0)
        return replace(self, opening=opening, closing=Ramp.constant(1.0), stop_sample=None)

    def span(self, position: int, count: int) -> int:
        """How many of the next `count` samples are played before the playhead stands."""
        if self.stop_sample is None:
            return count
        return max(0, min(count, self.stop_sample - position))

    def gains(self, position: int, count: int) -> NDArray[np.float32]:
        """The gains [count] of samples that are played."""
        return self.opening.gains(position, count) * self.closing.gains(position, count)

    @property
    def _min_fade_samples(self) -> int:
        return round(_MIN_FADE_SECONDS * self.rate_hz)
