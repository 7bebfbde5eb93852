"""An output: what takes samples at its own pace. The sound card, or the null output.

The null output takes them in real time, by the clock it is given: the monotonic one, or a virtual
one in tests. With it the music, its time, recordings and the PCM stream go on without a device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from musicgen_rt.errors import MusicgenRTError


class DeviceError(MusicgenRTError):
    """No device could be opened."""


class DeviceRefusedError(DeviceError):
    """The device is there, but it cannot be opened or started."""


class DeviceLostError(MusicgenRTError):
    """The device no longer takes samples; only a fresh process can open one again."""


@dataclass(frozen=True)
class OutputInfo:
    """What an output is. It takes at most `block_frames` samples at once."""

    kind: str
    device: str
    host_api: str
    rate_hz: int
    channels: int
    block_frames: int
    latency_seconds: float


@dataclass(frozen=True)
class OutputHealth:
    """How long the device has not asked for samples, and what went wrong so far.

    `underruns`: it asked and there were none. `dropouts`: it says itself that it was late.
    """

    gap_seconds: float
    underruns: int
    dropouts: int


class Output(Protocol):
    """Samples are counted from 0, in the order of writing. All methods: [pump]."""

    info: OutputInfo

    @property
    def written(self) -> int:
        """How many samples were written."""

    def queued(self) -> int:
        """How many of them the device has not taken yet."""

    def write(self, samples: NDArray[np.float32]) -> None:
        """Queue a block [N, C]; the caller keeps the queue short."""

    def begin(self) -> None:
        """Start to take samples; there should be some."""

    def poll(self, now_ns: int) -> OutputHealth:
        """Look after the device. Raises DeviceLostError."""

    def dac_report(self) -> tuple[int, int] | None:
        """A new observation: this sample is heard at that monotonic time (ns)."""

    def close(self) -> None:
        """Stop at once."""


class NullOutput:
    """Takes blocks of `block_frames` samples by `clock_ns`, and loses them. [pump]"""

    def __init__(
        self,
        rate_hz: int,
        channels: int,
        clock_ns: Callable[[], int],
        *,
        kind: str = "null",
        block_frames: int = 1,
    ) -> None:
        self.info = OutputInfo(kind, kind, "", rate_hz, channels, block_frames, 0.0)
        self._clock_ns = clock_ns
        self._block_frames = block_frames
        self._began_ns: int | None = None
        self._began_at = 0
        self._written = 0
        self._taken = 0
        self._underruns = 0
        self._reported = -1

    @property
    def written(self) -> int:
        return self._written

    def queued(self) -> int:
        self._take()
        return self._written - self._taken

    def write(self, samples: NDArray[np.float32]) -> None:
        self._take()
        self._written += len(samples)

    def begin(self) -> None:
        self._began_ns = self._clock_ns()
        self._began_at = self._taken

    def poll(self, now_ns: int) -> OutputHealth:
        self._take()
        return OutputHealth(0.0, self._underruns, 0)

    def dac_report(self) -> tuple[int, int] | None:
        if self._began_ns is None or self._taken == self._reported:
            return None
        self._reported = self._taken
        since_began = self._taken - self._began_at
        return self._taken, self._began_ns + since_began * 1_000_000_000 // self.info.rate_hz

    def close(self) -> None:
        self._began_ns = None

    def _take(self) -> None:
        """Take what time has used up; where nothing is left, time goes on without sound."""
        if self._began_ns is None:
            return
        now_ns = self._clock_ns()
        due = (now_ns - self._began_ns) * self.info.rate_hz // 1_000_000_000
        due = self._began_at + due // self._block_frames * self._block_frames
        if due > self._written:
            self._underruns += 1
            self._began_ns = now_ns
            self._began_at = due = self._written
        self._taken = max(self._taken, due)
