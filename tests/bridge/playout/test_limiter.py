"""The limiter: nothing passes the ceiling, also between the samples, and what is below is left.

True peaks are measured with scipy's resampler, four times oversampled.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import resample_poly

from bridge.playout.limiter import Limiter
from bridge.playout.true_peak import BEFORE_SAMPLES, BEHIND_SAMPLES, true_peaks

RATE_HZ = 48000


def _limit(
    samples: NDArray[np.float32], limiter: Limiter, chunk: int = 240
) -> tuple[NDArray[np.float32], float]:
    state, parts, lowest = limiter.start(samples.shape[1]), [], 1.0
    for first in range(0, len(samples), chunk):
        state, part, gain = limiter.process(state, samples[first : first + chunk])
        parts.append(part)
        lowest = min(lowest, gain)
    return np.concatenate(parts), lowest


def _true_peak_db(samples: NDArray[np.float32]) -> float:
    padded = np.pad(samples, ((200, 200), (0, 0))).astype(np.float64)
    return float(20 * np.log10(np.abs(resample_poly(padded, 4, 1, axis=0)).max()))


def _noise(level: float, seconds: float = 1.0) -> NDArray[np.float32]:
    count = round(seconds * RATE_HZ)
    return np.random.default_rng(2).normal(0, level, (count, 2)).astype(np.float32)


def _between_samples(level: float) -> NDArray[np.float32]:
    """A tone at a quarter of the rate whose peaks lie between its samples: 3 dB over them."""
    phase = np.pi / 2 * np.arange(RATE_HZ // 4) + np.pi / 4
    return np.tile(level * np.sin(phase)[:, None], (1, 2)).astype(np.float32)


def _bursts() -> NDArray[np.float32]:
    samples = 0.1 * _noise(0.3)
    samples[10_000:10_050] += 9.0
    samples[20_000] = -50.0
    samples[30_000:31_000] *= 100
    return samples


@pytest.mark.parametrize("ceiling_db", [-1.0, -6.0])
@pytest.mark.parametrize(
    "samples",
    [_noise(1.0), 100 * _noise(1.0), _between_samples(1.4), _bursts(), _noise(0.3)],
    ids=["noise", "+40 dB", "between samples", "bursts", "music-like"],
)
def test_no_true_peak_passes_the_ceiling(samples: NDArray[np.float32], ceiling_db: float) -> None:
    limiter = Limiter(RATE_HZ, ceiling_db)
    out, _ = _limit(samples, limiter)
    assert np.abs(out).max() <= 10 ** (ceiling_db / 20)
    assert _true_peak_db(out) <= ceiling_db


def test_samples_alone_would_not_show_the_peak() -> None:
    """The check above can fail: this tone's samples are under the ceiling, its curve is not."""
    samples = _between_samples(0.85 * np.sqrt(2) * 0.99)
    assert np.abs(samples).max() < 10 ** (-1 / 20)
    assert _true_peak_db(samples) > 0


@pytest.mark.parametrize("chunk", [1, 37, 240, 9000])
def test_below_the_ceiling_it_is_only_a_delay(chunk: int) -> None:
    samples = np.clip(_noise(0.1, 0.1 if chunk == 1 else 0.5), -0.4, 0.4)
    limiter = Limiter(RATE_HZ)
    out, lowest = _limit(samples, limiter, chunk)
    delay = limiter.delay_samples
    assert lowest == 1.0
    np.testing.assert_array_equal(out[delay:], samples[:-delay])
    np.testing.assert_array_equal(out[:delay], 0)


@pytest.mark.parametrize("chunk", [11, 64, 5000])
def test_the_chunks_do_not_matter(chunk: int) -> None:
    samples = _bursts()[8000:24000]
    limiter = Limiter(RATE_HZ)
    np.testing.assert_allclose(
        _limit(samples, limiter, chunk)[0], _limit(samples, limiter)[0], atol=1e-6
    )


def test_the_gain_moves_smoothly_and_comes_back() -> None:
    """A tone that is too loud for a moment: no step beyond its own, and then full level again."""
    phase = 2 * np.pi * 300 * np.arange(2 * RATE_HZ) / RATE_HZ
    samples = (0.5 * np.sin(phase)).astype(np.float32)[:, None]
    samples[RATE_HZ // 2 : RATE_HZ // 2 + 4800] *= 4
    out, lowest = _limit(samples, Limiter(RATE_HZ))
    assert lowest == pytest.approx(10 ** (-1 / 20) / 2, rel=0.05)
    own_step = 4 * 0.5 * 2 * np.pi * 300 / RATE_HZ
    assert np.abs(np.diff(out[:, 0])).max() < 1.2 * own_step
    np.testing.assert_allclose(np.abs(out[-4800:]).max(), 0.5, rtol=0.01)


def test_one_channel_s_peak_turns_both_down() -> None:
    """Else the image would jump."""
    samples = np.full((9600, 2), 0.5, np.float32)
    samples[:, 0] *= np.where(np.arange(9600) // 8 % 2, 1, -1) * 4
    out, _ = _limit(samples, Limiter(RATE_HZ))
    assert out[5000:, 1].max() < 0.3


def test_true_peaks_are_those_of_a_longer_filter() -> None:
    samples = _noise(0.5, 0.1)
    peaks = true_peaks(samples)
    fine = np.abs(resample_poly(samples.astype(np.float64), 4, 1, axis=0)).max(axis=1)
    inner = range(BEFORE_SAMPLES, len(samples) - BEHIND_SAMPLES)
    expected = [fine[4 * n - 3 : 4 * n + 4].max() for n in inner]
    np.testing.assert_allclose(peaks, expected, rtol=0.05, atol=0.01)
