"""Sampling against transformers' warpers and the softmax itself; noise as a pure function."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from transformers import TopKLogitsWarper, TopPLogitsWarper

from musicgen_rt.live.sampling import (
    SamplingParameters,
    guide,
    gumbel_noise,
    parameter_tensor,
    sample,
)

VOCAB = 64


def _logits(codebooks: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.randn(codebooks, VOCAB, generator=torch.Generator().manual_seed(seed)) * 2


def _draws(logits: torch.Tensor, parameters: SamplingParameters, count: int) -> np.ndarray:
    """Histogram of tokens: [K, V]."""
    noise = torch.from_numpy(gumbel_noise(7, range(count), *logits.shape))
    tensor = parameter_tensor(parameters)
    tokens = torch.stack([sample(logits, frame, tensor) for frame in noise])
    counts = [np.bincount(tokens[:, k], minlength=VOCAB) for k in range(logits.shape[0])]
    return np.stack(counts)


@pytest.mark.parametrize(
    "parameters",
    [
        SamplingParameters(1.0, 0, 0.0),
        SamplingParameters(0.7, 0, 0.0),
        SamplingParameters(1.0, 10, 0.0),
        SamplingParameters(1.3, 0, 0.8),
        SamplingParameters(0.9, 20, 0.9),
    ],
)
def test_draws_follow_the_distribution_of_transformers(parameters: SamplingParameters) -> None:
    logits, count = _logits(), 4000
    scores = logits / parameters.temperature
    if parameters.top_k:
        scores = TopKLogitsWarper(parameters.top_k)(None, scores)
    if parameters.top_p:
        scores = TopPLogitsWarper(parameters.top_p)(None, scores)
    expected = scores.softmax(-1).numpy()
    counts = _draws(logits, parameters, count)
    assert (counts[expected == 0] == 0).all()
    # Chi-squared over tokens that are expected often enough; 99.9 % quantile by Wilson-Hilferty.
    often = expected * count >= 5
    chi2 = (((counts - expected * count) ** 2)[often] / (expected * count)[often]).sum()
    freedom = int(often.sum()) - 1
    quantile = freedom * (1 - 2 / (9 * freedom) + 3.09 * math.sqrt(2 / (9 * freedom))) ** 3
    assert chi2 < quantile


def test_temperature_zero_is_greedy() -> None:
    logits = _logits()
    noise = torch.from_numpy(gumbel_noise(1, range(1), *logits.shape))[0]
    parameters = parameter_tensor(SamplingParameters(0.0, 0, 0.0))
    assert torch.equal(sample(logits, noise, parameters), logits.argmax(-1))


def test_top_k_beyond_the_vocabulary_is_off() -> None:
    logits = _logits()
    noise = torch.from_numpy(gumbel_noise(1, range(1), *logits.shape))[0]
    wide = sample(logits, noise, parameter_tensor(SamplingParameters(1.0, 5000, 0.0)))
    off = sample(logits, noise, parameter_tensor(SamplingParameters(1.0, 0, 0.0)))
    assert torch.equal(wide, off)


def test_noise_is_gumbel() -> None:
    noise = gumbel_noise(11, range(50), 4, 2048)
    assert np.isfinite(noise).all()
    assert noise.mean() == pytest.approx(0.5772, abs=0.01)
    assert noise.var() == pytest.approx(math.pi**2 / 6, abs=0.02)


def test_noise_depends_on_seed_and_frame_alone() -> None:
    block = gumbel_noise(5, range(100, 110), 4, 64)
    single = gumbel_noise(5, range(107, 108), 4, 64)
    assert np.array_equal(block[7], single[0])
    assert not np.array_equal(block[7], block[8])
    assert not np.array_equal(single, gumbel_noise(6, range(107, 108), 4, 64))
    assert not np.array_equal(single, gumbel_noise(5, range(107, 108), 4, 64, draw=1))


def test_noise_of_neighbouring_frames_is_uncorrelated() -> None:
    noise = gumbel_noise(0, range(200), 1, 256)[:, 0]
    centred = (noise - noise.mean()) / noise.std()
    assert abs((centred[:-1] * centred[1:]).mean()) < 0.02


def test_far_frames_and_large_seeds_are_fine() -> None:
    noise = gumbel_noise(2**63 - 1, range(10**12, 10**12 + 2), 4, 64)
    assert np.isfinite(noise).all()
    assert not np.array_equal(noise[0], noise[1])


def test_guidance_is_the_published_formula() -> None:
    logits = torch.randn(2, 4, VOCAB, generator=torch.Generator().manual_seed(1))
    uncond, cond = logits
    expected = uncond + 3.0 * (cond - uncond)
    assert torch.allclose(guide(logits, torch.tensor([-2.0, 3.0])), expected, atol=1e-5)
