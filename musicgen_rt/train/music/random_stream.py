"""Independent random streams of one seed, so that a change in one part leaves the others alone."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

Choice = TypeVar("Choice")


def random_stream(seed: int, purpose: str) -> np.random.Generator:
    """The generator of `purpose` under `seed`; the same pair always gives the same numbers."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])


def pick(rng: np.random.Generator, options: Sequence[Choice]) -> Choice:
    """One of `options`, all equally likely."""
    return options[int(rng.integers(len(options)))]


def pick_weighted(rng: np.random.Generator, weights: Mapping[Choice, float]) -> Choice:
    """One key of `weights`, as likely as its value (the values need not sum to 1)."""
    options = list(weights)
    bounds = np.cumsum([weights[option] for option in options])
    index = int(np.searchsorted(bounds, rng.uniform(0.0, bounds[-1]), side="right"))
    return options[min(index, len(options) - 1)]


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """A value between `low` and `high`, uniform."""
    return float(rng.uniform(low, high))


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A value between `low` and `high` (both > 0), uniform in its logarithm."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
