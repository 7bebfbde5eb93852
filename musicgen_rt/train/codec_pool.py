"""Training segments drawn from a pool of generated clips that is renewed as the run goes.

What a step sees is a pure function of (seed, step): a resumed run continues with the same
data, and nothing about the pool needs saving.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from musicgen_rt.errors import ParameterError
from musicgen_rt.train.config import require_range

# Makes the clip of a seed: mono float samples in -1…1.
ClipSource = Callable[[int], NDArray[np.float32]]

_INT16_SCALE = 32_767.0


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


class ClipPool:
    """Clips as 16-bit samples in memory, addressed by the seed that made them."""

    def __init__(
        self, config: PoolConfig, source: ClipSource, segment_samples: int, first_seed: int
    ) -> None:
        self._config = config
        self._source = source
        self._segment_samples = segment_samples
        self._first_seed = first_seed
        self._clips: dict[int, NDArray[np.int16]] = {}

    def batch(self, step: int, rows: int) -> Tensor:
        """The segments [rows, 1, N] of a step, at random places with a small random gain."""
        self._renew(step)
        rng = np.random.default_rng((self._first_seed, step))
        seeds = rng.choice(sorted(self._clips), size=rows)
        gains_db = rng.uniform(-self._config.gain_range_db, self._config.gain_range_db, size=rows)
        segments = []
        for seed, gain_db in zip(seeds, gains_db, strict=True):
            clip = self._clips[int(seed)]
            start = int(rng.integers(0, len(clip) - self._segment_samples + 1))
            segment = clip[start : start + self._segment_samples].astype(np.float32)
            segments.append(segment * np.float32(10 ** (gain_db / 20) / _INT16_SCALE))
        return torch.from_numpy(np.stack(segments))[:, None]

    def _renew(self, step: int) -> None:
        """Makes the clips that belong to a step and drops the others."""
        oldest = self._first_seed + step // self._config.steps_per_clip
        wanted = range(oldest, oldest + self._config.clips)
        for seed in [seed for seed in self._clips if seed not in wanted]:
            del self._clips[seed]
        for seed in wanted:
            if seed not in self._clips:
                self._clips[seed] = self._make(seed)

    def _make(self, seed: int) -> NDArray[np.int16]:
        clip = self._source(seed)
        if clip.ndim != 1 or len(clip) < self._segment_samples:
            raise ParameterError(
                f"the clip of seed {seed} has shape {clip.shape}; expected mono with at least "
                f"{self._segment_samples} samples: lengthen pool.clip_seconds"
            )
        if not np.isfinite(clip).all():
            raise ParameterError(f"the clip of seed {seed} is not finite: mend its source")
        return np.round(np.clip(clip, -1.0, 1.0) * _INT16_SCALE).astype(np.int16)
