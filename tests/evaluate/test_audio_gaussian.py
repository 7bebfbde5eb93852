"""The Fréchet distance beside SciPy's matrix square root, closed forms and the law of its bias."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from musicgen_rt.errors import ParameterError
from musicgen_rt.evaluate.audio_gaussian import (
    Gaussian,
    extrapolated,
    frechet_distance,
    gaussian,
)


def scipy_distance(one: np.ndarray, other: np.ndarray) -> float:
    """The same formula through a general matrix square root, of vectors [N, D]."""
    apart = one.mean(axis=0) - other.mean(axis=0)
    first, second = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    root = scipy.linalg.sqrtm(first @ second)
    return float(apart @ apart + np.trace(first + second) - 2 * np.trace(root).real)


def cloud(seed: int, count: int, dimension: int, shift: float = 0.0) -> np.ndarray:
    random = np.random.default_rng(seed)
    mixing = random.standard_normal((dimension, dimension))
    return shift + random.standard_normal((count, dimension)) @ mixing


@pytest.mark.parametrize("dimension", [2, 17, 64])
def test_it_is_scipys_distance(dimension: int) -> None:
    one, other = cloud(1, 400, dimension), cloud(2, 300, dimension, shift=0.7)
    ours = frechet_distance(gaussian(one), gaussian(other))
    assert ours == pytest.approx(scipy_distance(one, other), rel=1e-9)


def test_gaussians_of_one_dimension_have_a_closed_form() -> None:
    """(m1 - m2)^2 + (s1 - s2)^2."""
    one = Gaussian(np.array([1.0]), np.array([[4.0]]), 9)
    other = Gaussian(np.array([4.0]), np.array([[0.25]]), 9)
    assert frechet_distance(one, other) == pytest.approx(9.0 + 1.5**2, abs=1e-12)


def test_commuting_covariances_have_a_closed_form() -> None:
    """Same axes: the sum of squared differences of the standard deviations along them."""
    random = np.random.default_rng(3)
    axes = np.linalg.qr(random.standard_normal((6, 6)))[0]
    first, second = random.uniform(0.1, 5.0, 6), random.uniform(0.1, 5.0, 6)
    one, other = (
        Gaussian(np.zeros(6), axes @ np.diag(spread) @ axes.T, 99) for spread in (first, second)
    )
    expected = float(((np.sqrt(first) - np.sqrt(second)) ** 2).sum())
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-9)


def test_it_is_a_distance() -> None:
    one, other = gaussian(cloud(1, 90, 8)), gaussian(cloud(2, 90, 8, shift=1.0))
    assert frechet_distance(one, one) == pytest.approx(0.0, abs=1e-8)
    assert frechet_distance(one, other) == pytest.approx(frechet_distance(other, one), rel=1e-9)
    assert frechet_distance(one, other) > 1.0


def test_fewer_vectors_than_dimensions_stay_finite_and_real() -> None:
    one, other = gaussian(cloud(1, 10, 64)), gaussian(cloud(2, 12, 64))
    assert not one.is_of_full_rank
    assert np.isfinite(frechet_distance(one, other))


def test_the_extrapolation_takes_the_bias_away() -> None:
    """Two draws from one distribution: true distance 0, measured well above, extrapolated near."""
    reference = gaussian(np.random.default_rng(0).standard_normal((40_000, 16)))
    groups = list(np.random.default_rng(1).standard_normal((40, 25, 16)))
    measured = frechet_distance(reference, gaussian(np.concatenate(groups)))
    line = extrapolated(reference, groups)
    assert line is not None
    assert measured > 0.05
    assert abs(line.distance) < measured / 4
    assert line.r_squared > 0.95
    assert line.counts[-1] == 1000
    assert line == extrapolated(reference, groups)


def test_few_clips_are_not_extrapolated() -> None:
    reference = gaussian(cloud(1, 99, 4))
    assert extrapolated(reference, [cloud(n, 9, 4) for n in range(7)]) is None


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        (np.ones((1, 4)), "2 vectors"),
        (np.ones(4), "2 vectors"),
        (np.full((3, 4), np.nan), "NaN"),
    ],
)
def test_what_is_no_set_is_refused(vectors: np.ndarray, said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        gaussian(vectors)


def test_different_embeddings_are_refused() -> None:
    with pytest.raises(ParameterError, match="4 and 5 numbers"):
        frechet_distance(gaussian(cloud(1, 9, 4)), gaussian(cloud(1, 9, 5)))
