"""The Fréchet distance of two sets of embeddings, and what it would be with endless samples.

All in float64. The distance is that of two Gaussians fitted to the sets (Kilgour et al. 2019,
"Fréchet Audio Distance"); the square root of the product of the covariances is taken through the
eigenvalues of a symmetric matrix, which stays exact where a general matrix square root returns
complex or broken values: covariances without full rank, as few samples give.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musicgen_rt.errors import ParameterError

Array = NDArray[np.float64]

MIN_GROUPS_TO_EXTRAPOLATE = 8
_SIZES = 12
_DRAWS_A_SIZE = 4
_SMALLEST_PART = 0.25


@dataclass(frozen=True)
class Gaussian:
    """The mean [D] and the unbiased covariance [D, D] of `count` vectors."""

    mean: Array
    covariance: Array
    count: int

    @property
    def dimension(self) -> int:
        """D."""
        return len(self.mean)

    @property
    def is_of_full_rank(self) -> bool:
        """Whether there are vectors enough to know the covariance in all directions."""
        return self.count > self.dimension


@dataclass(frozen=True)
class Extrapolation:
    """The distance at an infinite number of samples: where its line over 1 / count meets 0.

    `counts` are numbers of vectors, `distances` the distance at each, averaged over draws;
    `r_squared` says how well a line fits them.
    """

    distance: float
    slope: float
    r_squared: float
    counts: tuple[int, ...]
    distances: tuple[float, ...]


def gaussian(vectors: NDArray[np.floating]) -> Gaussian:
    """The Gaussian of vectors [N, D]. Raises ParameterError for fewer than 2, NaN or infinity."""
    values = np.asarray(vectors, dtype=np.float64)
    if values.ndim != 2 or len(values) < 2 or not values.shape[1]:
        raise ParameterError(
            f"embeddings have the shape {list(values.shape)}: expected [N, D] with 2 vectors or "
            "more; use more or longer clips"
        )
    if not np.isfinite(values).all():
        raise ParameterError("an embedding holds NaN or infinity: expected finite numbers")
    return Gaussian(values.mean(axis=0), np.atleast_2d(np.cov(values, rowvar=False)), len(values))


def frechet_distance(one: Gaussian, other: Gaussian) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^1/2), 0 or more; the same in both directions.

    C1 C2 has the eigenvalues of the symmetric R C2 R with R the symmetric root of C1. Raises
    ParameterError for different dimensions.
    """
    if one.dimension != other.dimension:
        raise ParameterError(
            f"embeddings of {one.dimension} and {other.dimension} numbers: expected one kind"
        )
    values, vectors = np.linalg.eigh(one.covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    product = root @ other.covariance @ root
    # Rounding leaves a matrix that is symmetric to the last bits only.
    squares = np.linalg.eigvalsh((product + product.T) / 2)
    cross_trace = np.sqrt(np.maximum(squares, 0.0)).sum()
    apart = one.mean - other.mean
    traces = np.trace(one.covariance) + np.trace(other.covariance)
    return max(0.0, float(apart @ apart + traces - 2.0 * cross_trace))


def extrapolated(
    reference: Gaussian, groups: Sequence[NDArray[np.floating]], seed: int = 0
) -> Extrapolation | None:
    """The distance of endless music of the kind of `groups` from the reference, or None.

    Each group holds the embeddings [W, D] of one clip. The bias of the distance falls as 1 / count
    (Chong and Forsyth 2020; for audio Gui et al. 2023), so a line through distances of subsets is
    read off at 0. Subsets are drawn as whole clips without replacement, since the windows of one
    clip resemble each other. None with fewer than `MIN_GROUPS_TO_EXTRAPOLATE` clips.
    """
    if len(groups) < MIN_GROUPS_TO_EXTRAPOLATE:
        return None
    random = np.random.default_rng(seed)
    smallest = max(2, round(_SMALLEST_PART * len(groups)))
    sizes = np.unique(np.linspace(smallest, len(groups), _SIZES).round().astype(int))
    counts, distances = [], []
    for size in sizes:
        draws = [_subset(groups, int(size), random) for _ in range(_DRAWS_A_SIZE)]
        counts.append(round(float(np.mean([draw.count for draw in draws]))))
        distances.append(float(np.mean([frechet_distance(reference, draw) for draw in draws])))
    inverse = 1.0 / np.asarray(counts)
    slope, at_zero = np.polyfit(inverse, distances, 1)
    residual = np.asarray(distances) - (slope * inverse + at_zero)
    spread = float(np.var(distances))
    r_squared = 1.0 - float(np.var(residual)) / spread if spread > 0 else 1.0
    return Extrapolation(float(at_zero), float(slope), r_squared, tuple(counts), tuple(distances))


def _subset(
    groups: Sequence[NDArray[np.floating]], size: int, random: np.random.Generator
) -> Gaussian:
    chosen = random.choice(len(groups), size=size, replace=False)
    return gaussian(np.concatenate([groups[index] for index in chosen]))
