"""The DC blocker against scipy's recursive filter."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.signal import lfilter

from bridge.playout.dc_blocker import DCBlocker

RATE_HZ = 32000


@pytest.mark.parametrize("chunk", [1, 160, 5000, 20000])
def test_it_is_the_high_pass_it_says_whatever_the_chunks(chunk: int) -> None:
    count = 20000 if chunk > 1 else 300
    samples = np.random.default_rng(1).normal(0.3, 0.5, (2, count)).astype(np.float32)
    pole = math.exp(-2 * math.pi * 5 / RATE_HZ)
    expected = lfilter([1, -1], [1, -pole], samples.astype(np.float64), axis=1)
    blocker, state, parts = DCBlocker(RATE_HZ), DCBlocker.start(2), []
    for first in range(0, count, chunk):
        state, part = blocker.process(state, samples[:, first : first + chunk])
        parts.append(part)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), expected, atol=2e-6)


def test_an_offset_goes_and_a_bass_note_stays() -> None:
    time_seconds = np.arange(2 * RATE_HZ) / RATE_HZ
    samples = (0.5 + 0.3 * np.sin(2 * np.pi * 40 * time_seconds)).astype(np.float32)[None]
    _, out = DCBlocker(RATE_HZ).process(DCBlocker.start(1), samples)
    settled = out[0, RATE_HZ:]
    assert abs(settled.mean()) < 1e-3
    assert np.abs(settled).max() == pytest.approx(0.3, rel=0.02)


def test_no_samples_change_nothing() -> None:
    state = DCBlocker.start(2)
    after, out = DCBlocker(RATE_HZ).process(state, np.zeros((2, 0), np.float32))
    assert out.shape == (2, 0)
    assert after is state
