"""What no recording of music may have, whatever is played: clicks, holes, overs, NaN.

A click in music is not simply a large step: drums have those. It is a spike above 8 kHz that stands
alone - nothing like it for milliseconds before and after - while an attack goes on (compare Godsill
and Rayner, Digital Audio Restoration, 1998, chapter 5, which finds clicks in the same way, in what
a model of the sound cannot predict).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d
from scipy.signal import fftconvolve, firwin

CEILING_DB = -1.0
# The recording's resampler and float32 may round the ceiling up by so much.
CEILING_GRACE = 1e-4

_HIGH_HZ = 8000.0
_TAPS = 63
# A spike's own length in the filtered sound, and how long around it nothing may be like it.
_SPIKE_SECONDS = 0.0008
_AROUND_SECONDS = 0.004
# Above a tick of the model's own, where nothing was rewritten: 0.020, 6.1 times what lies around.
# With 0.015 and 6 two were found in 27 minutes.
_SPIKE_LEVEL = 0.02
_SPIKE_RATIO = 7.0
# Music fades, but what a device was not given is exactly nothing.
_NOTHING = 1e-6


@dataclass(frozen=True)
class SoundFaults:
    """Invariant V of a recording; positions are samples of it."""

    seconds: float
    peak: float
    non_finite: int
    over_ceiling: int
    clicks: tuple[int, ...]
    holes: tuple[tuple[int, int], ...]

    @property
    def complaints(self) -> list[str]:
        """What is wrong, in words."""
        found = []
        if self.non_finite:
            found.append(f"{self.non_finite} samples are not finite")
        if self.over_ceiling:
            found.append(f"{self.over_ceiling} samples above {CEILING_DB} dBFS")
        if self.clicks:
            found.append(f"{len(self.clicks)} clicks, the first at sample {self.clicks[0]}")
        if self.holes:
            longest = max(length for _, length in self.holes)
            found.append(f"{len(self.holes)} holes, the longest of {longest} samples")
        return found

    def moved(self, samples: int) -> SoundFaults:
        """The same at positions so many samples later."""
        return replace(
            self,
            clicks=tuple(at + samples for at in self.clicks),
            holes=tuple((at + samples, length) for at, length in self.holes),
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def faults_of(samples: NDArray[np.float32], rate_hz: int, longest_hole: int) -> SoundFaults:
    """Judge one recording [N, C]; `longest_hole` samples of nothing may be in it."""
    is_finite = np.isfinite(samples)
    finite = np.where(is_finite, samples, 0.0)
    magnitude = np.abs(finite)
    ceiling = 10 ** (CEILING_DB / 20) + CEILING_GRACE
    clicks = sorted({at for channel in finite.T for at in clicks_of(channel, rate_hz)})
    return SoundFaults(
        seconds=len(samples) / rate_hz,
        peak=float(magnitude.max(initial=0.0)),
        non_finite=int((~is_finite).sum()),
        over_ceiling=int((magnitude > ceiling).sum()),
        clicks=tuple(clicks),
        holes=tuple(holes_of(magnitude.max(axis=1), longest_hole)),
    )


def joined(faults: Sequence[SoundFaults]) -> SoundFaults:
    """Of several recordings as if of one; positions stay what they are."""
    return SoundFaults(
        seconds=sum(one.seconds for one in faults),
        peak=max((one.peak for one in faults), default=0.0),
        non_finite=sum(one.non_finite for one in faults),
        over_ceiling=sum(one.over_ceiling for one in faults),
        clicks=tuple(at for one in faults for at in one.clicks),
        holes=tuple(hole for one in faults for hole in one.holes),
    )


def clicks_of(samples: NDArray[Any], rate_hz: int) -> list[int]:
    """Where a sound [N] clicks, each once."""
    if len(samples) < _TAPS:
        return []
    high_pass = firwin(_TAPS, _HIGH_HZ, fs=rate_hz, pass_zero=False)
    high = np.abs(fftconvolve(samples, high_pass, mode="same"))
    high[: _TAPS // 2] = high[-(_TAPS // 2) :] = 0  # the recording's own ends are none
    spike, around = (round(t * rate_hz) for t in (_SPIKE_SECONDS, _AROUND_SECONDS))
    # The loudest of the `around` samples before and of those after, without the spike's own.
    beside = maximum_filter1d(high, around, mode="constant")
    gap = spike + around // 2
    before, after = np.roll(beside, gap), np.roll(beside, -gap)
    is_alone = high > _SPIKE_RATIO * np.maximum(before, after)
    spots = np.flatnonzero((high > _SPIKE_LEVEL) & is_alone)
    if not len(spots):
        return []
    groups = np.split(spots, np.flatnonzero(np.diff(spots) > around) + 1)
    return [int(group[np.argmax(high[group])]) for group in groups]


def holes_of(magnitude: NDArray[Any], longest: int) -> list[tuple[int, int]]:
    """Stretches of nothing longer than `longest` samples: (first sample, length)."""
    is_nothing = (magnitude < _NOTHING).astype(np.int8)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], is_nothing, [0]))))
    pairs = edges.reshape(-1, 2)
    return [(int(a), int(b - a)) for a, b in pairs if b - a > longest]
