"""The streaming resampler: the right tone, in time, without bursts or clicks."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bridge.playout.resampler import Resampler

RATE_HZ = 32000
CHUNK = 160


def _tone(frequency_hz: float, count: int) -> NDArray[np.float32]:
    return np.sin(2 * np.pi * frequency_hz * np.arange(count) / RATE_HZ).astype(np.float32)[None]


def _run(resampler: Resampler, samples: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    chunks = range(0, samples.shape[1], CHUNK)
    return [resampler.process(samples[:, first : first + CHUNK]) for first in chunks]


@pytest.mark.parametrize("rate_hz", [44100, 48000, 96000])
def test_a_tone_keeps_pitch_level_and_place(rate_hz: int) -> None:
    """The output is the same sine at the new rate, from the first sample on: no offset in time."""
    out = np.concatenate(_run(Resampler(RATE_HZ, rate_hz, 1, False), _tone(1000, 16000)))[:, 0]
    n = np.arange(2000, len(out))
    expected = np.sin(2 * np.pi * 1000 * n / rate_hz)
    # A third of an input sample: 10 microseconds.
    assert np.abs(out[2000:] - expected).max() < 2 * np.pi * 1000 / RATE_HZ / 3
    spectrum = np.abs(np.fft.rfft(out[2000:] * np.hanning(len(out) - 2000)))
    peak_hz = spectrum.argmax() * rate_hz / (len(out) - 2000)
    assert peak_hz == pytest.approx(1000, abs=rate_hz / len(out))
    assert np.abs(out[4000:8000]).max() == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("rate_hz", [44100, 48000, 96000])
def test_it_gives_as_much_as_it_takes_each_time(rate_hz: int) -> None:
    blocks = _run(Resampler(RATE_HZ, rate_hz, 2, False), np.zeros((2, 16000), np.float32))
    lengths = [len(block) for block in blocks[4:]]
    assert max(lengths) - min(lengths) <= 1
    # What it keeps back is a latency; 240 of the input's samples are 7.5 ms.
    given = sum(len(block) for block in blocks) * RATE_HZ / rate_hz
    assert 16000 - given <= 242


def test_where_the_next_sample_comes_from_is_known() -> None:
    resampler = Resampler(RATE_HZ, 48000, 1, False)
    out = np.concatenate(_run(resampler, np.zeros((1, 8000), np.float32)))
    assert resampler.consumed == pytest.approx(len(out) / 1.5, abs=1e-6)


def test_equal_rates_pass_through_unchanged() -> None:
    samples = np.random.default_rng(0).normal(0, 1, (2, 1000)).astype(np.float32)
    resampler = Resampler(RATE_HZ, RATE_HZ, 2, False)
    np.testing.assert_array_equal(resampler.process(samples), samples.T)
    assert resampler.consumed == 1000


def test_a_drifting_ratio_makes_no_click_and_keeps_count() -> None:
    resampler = Resampler(RATE_HZ, 48000, 1, True)
    samples = _tone(440, 64000)
    chance = np.random.default_rng(3)
    blocks, integral = [], 0.0
    for first in range(0, 64000, CHUNK):
        correction = 1 + chance.uniform(-3e-4, 3e-4)
        resampler.set_correction(correction)
        blocks.append(resampler.process(samples[:, first : first + CHUNK]))
        integral += len(blocks[-1]) * correction / 1.5
    out = np.concatenate(blocks)[:, 0]
    curvature = (2 * np.pi * 440 / 48000) ** 2
    assert np.abs(np.diff(out[500:], 2)).max() < 1.05 * curvature
    assert resampler.consumed == pytest.approx(integral, abs=2)
    assert resampler.consumed == pytest.approx(64000 - 240, abs=2)


def test_a_correction_takes_more_input_for_the_same_output() -> None:
    fast, even = Resampler(RATE_HZ, 48000, 1, True), Resampler(RATE_HZ, 48000, 1, True)
    fast.set_correction(1.002)
    samples = _tone(440, 32000)
    ratio = sum(map(len, _run(even, samples))) / sum(map(len, _run(fast, samples)))
    assert ratio == pytest.approx(1.002, abs=2e-4)
