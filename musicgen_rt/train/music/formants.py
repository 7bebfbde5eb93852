"""The resonances of sung vowels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# The first three formants of "ah", "oh" and "ee".
VOWELS_HZ = ((700.0, 1150.0, 2800.0), (400.0, 800.0, 2600.0), (350.0, 2000.0, 2800.0))
_FLOOR = 0.02


def formant_gain(
    frequencies_hz: npt.NDArray[np.float64], formants_hz: tuple[float, ...]
) -> npt.NDArray[np.float64]:
    """A power gain [N] with a peak of about 1 at each formant."""
    gain = np.full(len(frequencies_hz), _FLOOR)
    for centre_hz in formants_hz:
        gain += np.exp(-(((frequencies_hz - centre_hz) / (0.12 * centre_hz + 40.0)) ** 2))
    return gain
