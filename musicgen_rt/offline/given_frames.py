"""Frames that a render continues, as a value that a sidecar can hold, and where they come from."""

from __future__ import annotations

import base64
import binascii
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from musicgen_rt.audio_input import Samples, StreamResampler, audio_blocks, audio_info
from musicgen_rt.errors import AudioFileError, ParameterError

_STORED = np.dtype("<u2")  # no codebook has more than 65536 entries
_MAX_FRAMES = 100_000


@dataclass(frozen=True)
class GivenFrames:
    """Codes of some frames, packed frame after frame as 16-bit numbers."""

    codebooks: int
    packed: bytes

    @classmethod
    def of(cls, codes: npt.NDArray[np.int64]) -> GivenFrames:
        """Keep codes [K, T] from 0 to 65535."""
        return cls(codes.shape[0], codes.T.astype(_STORED).tobytes())

    @property
    def codes(self) -> npt.NDArray[np.int64]:
        """The codes [K, T]."""
        frames = np.frombuffer(self.packed, _STORED).reshape(-1, self.codebooks)
        return frames.T.astype(np.int64)

    def to_json(self) -> dict[str, Any]:
        """The frames as a value for `json.dumps`."""
        packed = base64.b64encode(self.packed).decode("ascii")
        return {"codebooks": self.codebooks, "uint16_by_frame": packed}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> GivenFrames:
        """The inverse of `to_json`. Raises ParameterError for anything else."""
        try:
            codebooks = value["codebooks"]
            packed = base64.b64decode(value["uint16_by_frame"], validate=True)
            frames, rest = divmod(len(packed), codebooks * _STORED.itemsize)
        except (KeyError, TypeError, ValueError, ZeroDivisionError, binascii.Error) as error:
            raise ParameterError(f"the given frames are damaged ({error})") from error
        if codebooks < 1 or rest or not 1 <= frames <= _MAX_FRAMES:
            raise ParameterError(
                f"the given frames are {len(packed)} bytes for {codebooks} codebooks: expected 1 "
                f"to {_MAX_FRAMES} whole frames"
            )
        return GivenFrames(codebooks, packed)


def read_end(path: Path, rate_hz: int, channels: int, max_seconds: float) -> Samples:
    """The last `max_seconds` of an audio file of any length and rate: [channels, N] at `rate_hz`.

    Mono is the mean of all channels; stereo of a mono file is that channel twice. Raises
    AudioFileError as `audio_blocks` does, and for stereo of a file of more than two channels.
    """
    info = audio_info(path)
    if channels > 1 and info.channels not in (1, channels):
        raise AudioFileError(
            f"{path} has {info.channels} channels: expected 1 or {channels}; mix it down"
        )
    end = _last_samples(path, round(max_seconds * info.sample_rate_hz))
    if channels == 1:
        end = end.mean(axis=0, keepdims=True, dtype=np.float32)
    elif end.shape[0] == 1:
        end = np.repeat(end, channels, axis=0)
    if info.sample_rate_hz == rate_hz:
        return end
    resampler = StreamResampler(info.sample_rate_hz, rate_hz, channels)
    return np.concatenate([resampler.process(end), resampler.finish()], axis=1)


def _last_samples(path: Path, num_samples: int) -> Samples:
    """The last samples of a file [C, <= num_samples], without ever holding much more of it."""
    blocks: deque[Samples] = deque()
    held = 0
    for block in audio_blocks(path):
        blocks.append(block)
        held += block.shape[1]
        while held - blocks[0].shape[1] >= num_samples:
            held -= blocks.popleft().shape[1]
    return np.concatenate(list(blocks), axis=1)[:, -num_samples:]
