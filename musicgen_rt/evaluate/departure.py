"""Where one recording leaves another that it began alike with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, fftconvolve, sosfiltfilt

Signal = NDArray[np.float64]

# Below this a difference of less than a sample in time does not count as one of sound.
_LOW_HZ = 3000.0
_WINDOW_SECONDS = 0.010
_HOP_SECONDS = 0.002
# Of the energy of both; two takes of different music have about all of it.
_DEPARTED_PART = 0.25
# So many windows on end: a click of the sound card is no other music.
_WINDOWS = 4
_QUIET = 1e-4
# How alike the beginnings must be to be the same music.
MIN_LIKENESS = 0.9


def low_passed(samples: NDArray[Any], rate_hz: int) -> Signal:
    """A sound [N] without what lies above 3 kHz, without a delay."""
    sos = butter(4, _LOW_HZ, fs=rate_hz, output="sos")
    filtered: Signal = sosfiltfilt(sos, np.asarray(samples, np.float64))
    return filtered


def placed(template: Signal, sound: Signal) -> tuple[int, float]:
    """Where in `sound` the template lies, and how alike they are there (0-1)."""
    products = fftconvolve(sound, template[::-1], mode="valid")
    sums = np.cumsum(np.concatenate(([0.0], sound**2)))
    energy = sums[len(template) :] - sums[: -len(template)]
    likeness = products / np.sqrt(np.maximum(energy * float(np.sum(template**2)), 1e-12))
    at = int(likeness.argmax())
    return at, float(likeness[at])


def departure(expected: Signal, sound: Signal, rate_hz: int) -> int | None:
    """The sample by which `sound` is no longer what was expected, None if it is to the end.

    Both begin at the same place. A window that shows it ends there, so it is never too early.
    """
    length = min(len(expected), len(sound))
    window, hop = round(_WINDOW_SECONDS * rate_hz), round(_HOP_SECONDS * rate_hz)
    apart = _energies((expected[:length] - sound[:length]) ** 2, window, hop)
    both = _energies(expected[:length] ** 2 + sound[:length] ** 2, window, hop)
    is_other = (apart > _DEPARTED_PART * both) & (both > _QUIET**2 * window)
    run = np.convolve(is_other.astype(int), np.ones(_WINDOWS, int), mode="valid")
    found = np.flatnonzero(run == _WINDOWS)
    return None if not len(found) else int(found[0]) * hop + window


def _energies(power: Signal, window: int, hop: int) -> Signal:
    sums = np.cumsum(np.concatenate(([0.0], power)))
    starts = np.arange(0, max(0, len(power) - window), hop)
    energies: Signal = sums[starts + window] - sums[starts]
    return energies
