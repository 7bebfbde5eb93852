"""What is heard on a JACK server, as it comes from the program `jack_ear`."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from musicgen_rt.errors import MusicgenRTError, UnsupportedError
from musicgen_rt.evaluate.jack_server import DEADLINE_SECONDS, JackServer

Samples = NDArray[np.float32]
# As `jack_ear.HEADER` has it; that program's imports are not for whoever only listens to it.
_HEADER = np.dtype("<u4,<u4,<u4,<u4,<f8")
# A period that was missed spoils what lies next to it too; and while JACK puts a new connection
# into its graph, periods come twice or not at all.
_AROUND_MISSED_PERIODS = 3
# Xruns are told by another thread of the server, behind the sound that they spoilt.
_TOLD_LATE_SECONDS = 0.3
_CONNECTING_PERIODS = 8
_LOOK_SECONDS = 0.01


class Period(NamedTuple):
    """What was heard in one of the server's periods: [2, N], from the server's `frame` on."""

    frame: int
    samples: Samples
    # The server's estimate of the frame at a moment of the monotonic clock.
    frame_now: int
    now_seconds: float
    xruns: int


class Stretch(NamedTuple):
    """What was heard without a gap, [N, 2], from the server's `frame` on."""

    frame: int
    samples: Samples


class JackRecording:
    """Records what a player plays into JACK, as soon as it plays. A context manager.

    [any]: a thread of its own appends periods, everything else only reads. Raises UnsupportedError
    where there is no JACK client library for Python.
    """

    def __init__(self, server: JackServer) -> None:
        if importlib.util.find_spec("jack") is None:
            raise UnsupportedError("recording from JACK needs JACK-Client: pip install JACK-Client")
        self.rate_hz = server.rate_hz
        self.period_frames = server.period_frames
        self._periods: list[Period] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "musicgen_rt.evaluate.jack_ear", server.name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        stream = self._process.stdout
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening; what was heard can still be read."""
        self._process.kill()
        self._process.wait(DEADLINE_SECONDS)
        self._thread.join(DEADLINE_SECONDS)

    @property
    def end_frame(self) -> int:
        """The server's frame up to which was heard, 0 before anything."""
        return _end_of(self._periods[-1]) if self._periods else 0

    @property
    def missed(self) -> int:
        """How often the server or one of its clients, this one included, missed a period."""
        periods = self._periods[:]
        if not periods:
            return 0
        gaps = sum(_is_missed(one, other) for one, other in pairwise(periods))
        return max(gaps, periods[-1].xruns)

    def missed_frames(self) -> list[int]:
        """The server's frames at which it, or one of its clients, was known to miss a period."""
        pairs = pairwise(self._periods[:])
        return [following.frame for one, following in pairs if _is_missed(one, following)]

    def last(self, seconds: float) -> Samples:
        """What was heard last, [2, N]."""
        count = max(1, round(seconds * self.rate_hz / self.period_frames))
        parts = [period.samples for period in self._periods[-count:]]
        return np.concatenate(parts, axis=1) if parts else np.zeros((2, 0), np.float32)

    def wait(self, is_so: Callable[[], bool], seconds: float, what: str) -> None:
        """Look until something is so. Raises MusicgenRTError naming it."""
        deadline = time.monotonic() + seconds
        while not is_so():
            if self._process.poll() is not None:
                raise MusicgenRTError(f"whoever listens to JACK has ended before {what} was heard")
            if time.monotonic() > deadline:
                raise MusicgenRTError(f"waited {seconds:.0f} s in vain to hear {what} on JACK")
            time.sleep(_LOOK_SECONDS)

    def wait_for_sound(self, seconds: float = DEADLINE_SECONDS) -> None:
        """Wait until the last tenth of a second is loud (-40 dBFS)."""
        self.wait(lambda: rms(self.last(0.1)) > 0.01, seconds, "music")

    def first_over(self, level: float) -> int | None:
        """The server's frame of the first sample above `level`."""
        for period in self._periods[:]:
            is_over = (np.abs(period.samples) > level).any(axis=0)
            if is_over.any():
                return period.frame + int(is_over.argmax())
        return None

    def stretches(self, first_frame: int = 0, shortest_frames: int = 4800) -> list[Stretch]:
        """What was heard from the server's `first_frame` on, without what a missed period spoilt.

        Without real-time priority periods are missed by the server, by the player and by this
        client itself; the first stretch begins some periods behind the first sound.
        """
        periods = self._periods[:]
        first = next((n for n, one in enumerate(periods) if one.samples.any()), len(periods))
        periods = [
            one for one in periods[first + _CONNECTING_PERIODS :] if one.frame >= first_frame
        ]
        found = []
        for begin, end in self._whole(periods):
            samples = np.concatenate([one.samples for one in periods[begin:end]], axis=1).T
            if len(samples) >= shortest_frames:
                found.append(Stretch(periods[begin].frame, samples))
        return found

    def _whole(self, periods: list[Period]) -> list[tuple[int, int]]:
        """From and to which period nothing was missed or is spoilt by what was."""
        late = round(_TOLD_LATE_SECONDS * self.rate_hz / self.period_frames)
        is_spoilt = np.zeros(len(periods) + 2, np.int8)
        is_spoilt[[0, -1]] = 1
        for n, (one, following) in enumerate(pairwise(periods), 2):
            if _is_missed(one, following):
                before = late if following.xruns != one.xruns else _AROUND_MISSED_PERIODS
                is_spoilt[max(0, n - before) : n + _AROUND_MISSED_PERIODS] = 1
        edges = np.diff(is_spoilt)
        begins, ends = np.flatnonzero(edges == -1), np.flatnonzero(edges == 1)
        return list(zip(begins.tolist(), ends.tolist(), strict=True))

    def monotonic_seconds(self, frame: int) -> tuple[float, float]:
        """When the server's frame `frame` was, and how far its own estimates lie apart."""
        looks = [
            period.now_seconds - (period.frame_now - frame) / self.rate_hz
            for period in self._periods[:]
            if abs(period.frame - frame) < self.rate_hz
        ]
        return float(np.median(looks)), float(np.ptp(looks))

    def frame_at(self, seconds: float) -> int:
        """The server's frame at a moment of the monotonic clock, of the last second or the next."""
        looks = [
            period.frame_now + (seconds - period.now_seconds) * self.rate_hz
            for period in self._periods[-self.rate_hz // self.period_frames :]
        ]
        return round(float(np.median(looks))) if looks else 0

    def _read(self, stream: IO[bytes]) -> None:
        size = _HEADER.itemsize
        with stream:
            while len(head := stream.read(size)) == size:
                frame, count, frame_now, xruns, now_seconds = np.frombuffer(head, _HEADER)[0]
                data = stream.read(8 * int(count))
                if len(data) == 8 * int(count):
                    samples = np.frombuffer(data, np.float32).reshape(2, int(count))
                    self._periods.append(
                        Period(int(frame), samples, int(frame_now), float(now_seconds), int(xruns))
                    )


def rms(samples: NDArray[Any]) -> float:
    """The level of samples of any shape, 0 for none."""
    return float(np.sqrt(np.mean(np.square(samples)))) if samples.size else 0.0


def _end_of(period: Period) -> int:
    return period.frame + period.samples.shape[1]


def _is_missed(one: Period, following: Period) -> bool:
    return following.frame != _end_of(one) or following.xruns != one.xruns
