"""Training segments as codes with the audio that they stand for, from a codec that is frozen.

Clips are encoded whole and once, so that their codes are those that a language model sees, and
the encoder costs little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from musicgen_rt.train.codec_model import CodecModel
from musicgen_rt.train.codec_pool import (
    ClipSource,
    PoolConfig,
    SeedWindow,
    to_float32,
    to_int16,
)


@dataclass(frozen=True)
class CodedClip:
    """Codes [K, T] of samples [T · hop], which are to be multiplied by `gain`."""

    codes: NDArray[np.int16]
    samples: NDArray[np.int16]
    gain: float


@dataclass(frozen=True)
class CodedBatch:
    """Codes [B, K, T + 2 · context] around the frames of audio [B, 1, T · hop]."""

    codes: Tensor
    audio: Tensor

    def to(self, device: torch.device) -> CodedBatch:
        """The same on a device."""
        return CodedBatch(self.codes.to(device), self.audio.to(device))


class CodedPool:
    """Clips of a moving window of seeds; what a step sees depends on the step alone."""

    def __init__(
        self,
        config: PoolConfig,
        source: ClipSource,
        codec: CodecModel,
        context_frames: int,
        first_seed: int,
    ) -> None:
        """`codec` encodes each clip when it comes in; its encoder must not change."""
        self._config = config
        self._source = source
        self._codec = codec
        self._context_frames = context_frames
        self._first_seed = first_seed
        self._hop_samples = codec.shape.hop_samples
        self.segment_frames = round(config.segment_seconds * codec.shape.frame_rate_hz)
        self._clips = SeedWindow(config, first_seed, self.coded)

    def batch(self, step: int, rows: int) -> CodedBatch:
        """The segments of a step, at random frames of random clips."""
        clips = self._clips.at(step)
        rng = np.random.default_rng((self._first_seed, step))
        seeds = rng.choice(sorted(clips), size=rows)
        frames, context, hop = self.segment_frames, self._context_frames, self._hop_samples
        codes, audio = [], []
        for seed in seeds:
            clip = clips[int(seed)]
            last = clip.codes.shape[1] - frames - context
            start = int(rng.integers(context, last + 1))
            codes.append(clip.codes[:, start - context : start + frames + context])
            samples = clip.samples[start * hop : (start + frames) * hop]
            audio.append(to_float32(samples) * np.float32(clip.gain))
        # int16 cannot index: the codebooks take int64.
        return CodedBatch(
            torch.from_numpy(np.stack(codes)).long(), torch.from_numpy(np.stack(audio))[:, None]
        )

    def coded(self, seed: int) -> CodedClip:
        """Makes and encodes the clip of a seed, at a gain that belongs to the seed."""
        least_frames = self.segment_frames + 2 * self._context_frames
        clip = to_int16(self._source(seed), seed, least_frames * self._hop_samples)
        samples = clip[: len(clip) // self._hop_samples * self._hop_samples]
        range_db = self._config.gain_range_db
        gain_db = np.random.default_rng((self._first_seed, seed)).uniform(-range_db, range_db)
        gain = float(10 ** (gain_db / 20))
        audio = torch.from_numpy(to_float32(samples) * np.float32(gain))[None, None]
        codes = self._codec.encode(audio.to(self._codec.device))[0].cpu().numpy()
        return CodedClip(codes.astype(np.int16), samples, gain)
