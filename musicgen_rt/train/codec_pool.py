"""Training segments drawn from a pool of generated clips that is renewed as the run goes.

What a step sees is a pure function of (seed, step): a resumed run continues with the same
data, and nothing about the pool needs saving.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from musicgen_rt.errors import ParameterError
from musicgen_rt.train.config import require_range

# Makes the clip of a seed: mono float samples in -1…1.
ClipSource = Callable[[int], NDArray[np.float32]]

_INT16_SCALE = 32_767.0
T = TypeVar("T")


@dataclass(frozen=True)
class PoolConfig:
    """Sizes of the pool; a new clip replaces the oldest every `steps_per_clip` steps."""

    clips: int = 96
    clip_seconds: float = 8.0
    segment_seconds: float = 1.0
    steps_per_clip: int = 2
    gain_range_db: float = 2.0

    def __post_init__(self) -> None:
        require_range("pool.clips", self.clips, 1, 100_000)
        require_range("pool.segment_seconds", self.segment_seconds, 0.02, 30.0)
        require_range("pool.clip_seconds", self.clip_seconds, self.segment_seconds, 600.0)
        require_range("pool.steps_per_clip", self.steps_per_clip, 1, 1_000_000)
        require_range("pool.gain_range_db", self.gain_range_db, 0.0, 24.0)


def music_source(clip_seconds: float, rate_hz: int) -> ClipSource:
    """Clips of the music generator."""
    from musicgen_rt.train.music import generate_clip

    def make(seed: int) -> NDArray[np.float32]:
        return generate_clip(seed, clip_seconds, rate_hz).samples

    return make


class SeedWindow(Generic[T]):
    """What was made of the seeds that belong to a step; each is made once, the past is dropped."""

    def __init__(self, config: PoolConfig, first_seed: int, make: Callable[[int], T]) -> None:
        self._config = config
        self._first_seed = first_seed
        self._make = make
        self._made: dict[int, T] = {}

    def at(self, step: int) -> dict[int, T]:
        """What the seeds of a step made, by seed."""
        oldest = self._first_seed + step // self._config.steps_per_clip
        wanted = range(oldest, oldest + self._config.clips)
        for seed in [seed for seed in self._made if seed not in wanted]:
            del self._made[seed]
        for seed in wanted:
            if seed not in self._made:
                self._made[seed] = self._make(seed)
        return self._made


class ClipPool:
    """Clips as 16-bit samples in memory, addressed by the seed that made them."""

    def __init__(
        self, config: PoolConfig, source: ClipSource, segment_samples: int, first_seed: int
    ) -> None:
        self._config = config
        self._segment_samples = segment_samples
        self._first_seed = first_seed
        self._clips = SeedWindow(
            config, first_seed, lambda seed: to_int16(source(seed), seed, segment_samples)
        )

    def batch(self, step: int, rows: int) -> Tensor:
        """The segments [rows, 1, N] of a step, at random places with a small random gain."""
        clips = self._clips.at(step)
        rng = np.random.default_rng((self._first_seed, step))
        seeds = rng.choice(sorted(clips), size=rows)
        gains_db = rng.uniform(-self._config.gain_range_db, self._config.gain_range_db, size=rows)
        segments = []
        for seed, gain_db in zip(seeds, gains_db, strict=True):
            clip = clips[int(seed)]
            start = int(rng.integers(0, len(clip) - self._segment_samples + 1))
            segment = clip[start : start + self._segment_samples]
            segments.append(to_float32(segment) * np.float32(10 ** (gain_db / 20)))
        return torch.from_numpy(np.stack(segments))[:, None]


def to_int16(clip: NDArray[np.float32], seed: int, least_samples: int) -> NDArray[np.int16]:
    """The clip of a seed in half the memory. Raises ParameterError for one that is no use."""
    if clip.ndim != 1 or len(clip) < least_samples:
        raise ParameterError(
            f"the clip of seed {seed} has shape {clip.shape}; expected mono with at least "
            f"{least_samples} samples: lengthen pool.clip_seconds"
        )
    if not np.isfinite(clip).all():
        raise ParameterError(f"the clip of seed {seed} is not finite: mend its source")
    return np.round(np.clip(clip, -1.0, 1.0) * _INT16_SCALE).astype(np.int16)


def to_float32(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """Undoes `to_int16`."""
    return samples.astype(np.float32) / np.float32(_INT16_SCALE)
