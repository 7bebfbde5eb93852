"""A stand-in for PortAudio: cards are plugged in and out, and each does what it is told to.

`install` puts it in the place of sounddevice and rtmixer. Like the real one it knows only the cards
that were there when it began, ends its streams when it ends, and is made for one thread at a time.
"""

from __future__ import annotations

import contextlib
import math
import sys
import threading
import time
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge.playout.device_list import Device
from bridge.playout.output import DeviceError

_LATENCY_SECONDS = 0.01
_BLOCK_FRAMES = 256
_RATE_HZ = 48000


class PortAudioError(Exception):
    """As sounddevice has it."""


class PortAudioTwin:
    """`plugged` is what there is, `refused` what opens but does not start. Any thread."""

    def __init__(self, *names: str) -> None:
        self.plugged = list(names)
        self.refused: set[str] = set()
        self.known: list[str] | None = list(names)
        self.streams: list[StreamTwin] = []
        self.starts: list[str] = []
        # What must never happen: streams ended under their owners, threads beside each other.
        self.torn = 0
        self.intruders = 0
        # How long each call waits for an intruder.
        self.linger_seconds = 0.0
        self._looks = 0
        self._inside = 0
        self._changed = threading.Condition()

    def install(self) -> None:
        """Stand in for the modules of this process; for good."""
        for name, module in self.modules().items():
            sys.modules[name] = module

    def modules(self) -> dict[str, ModuleType]:
        """What to import instead."""
        sounddevice, rtmixer = ModuleType("sounddevice"), ModuleType("rtmixer")
        sounddevice.__dict__.update(
            PortAudioError=PortAudioError,
            query_devices=self._query_devices,
            query_hostapis=lambda: [{"name": "ALSA", "default_output_device": 0}],
            default=SimpleNamespace(device=(-1, -1)),
            _terminate=self._terminate,
            _initialize=self._initialize,
        )
        rtmixer.__dict__.update(
            Mixer=lambda **options: StreamTwin(self, **options), RingBuffer=RingTwin
        )
        return {"sounddevice": sounddevice, "rtmixer": rtmixer}

    def fresh_devices(self) -> list[Device]:
        """What a fresh process would say."""
        if not self.plugged:
            raise DeviceError("the audio drivers did not say what there is")
        return [Device(i, name, "ALSA", 2, _RATE_HZ, i == 0) for i, name in enumerate(self.plugged)]

    def wait_for_looks(self, count: int) -> None:
        """Until the devices were asked for `count` more times."""
        with self._changed:
            until = self._looks + count
            assert self._changed.wait_for(lambda: self._looks >= until, 30)

    def wait_until_inside(self) -> None:
        """Until somebody is in a call."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._inside > 0, 30)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """A call of PortAudio."""
        with self._changed:
            self._inside += 1
            self.intruders += self._inside > 1
            self._changed.notify_all()
            if self.linger_seconds:
                self._changed.wait_for(lambda: self._inside > 1, self.linger_seconds)
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1

    def _query_devices(self) -> list[dict[str, Any]]:
        with self.entered(), self._changed:
            if self.known is None:
                raise PortAudioError("PortAudio not initialized")
            self._looks += 1
            self._changed.notify_all()
            return [
                {"name": n, "max_output_channels": 2, "hostapi": 0, "default_samplerate": _RATE_HZ}
                for n in self.known
            ]

    def _terminate(self) -> None:
        with self.entered():
            self.torn += sum(not stream.is_closed for stream in self.streams)
            self.known = None

    def _initialize(self) -> None:
        with self.entered():
            self.known = list(self.plugged)


class StreamTwin:
    """A stream of rtmixer that takes what it is given, by the machine's clock."""

    def __init__(self, twin: PortAudioTwin, device: int, samplerate: int, **_: Any) -> None:
        assert twin.known is not None
        self.name = twin.known[device]
        with twin.entered():
            if self.name not in twin.plugged:
                raise PortAudioError("Device unavailable")
        self.samplerate = float(samplerate)
        self.latency = _LATENCY_SECONDS
        self.blocksize = _BLOCK_FRAMES
        self.active = False
        self.is_closed = False
        self.actions: list[SimpleNamespace] = []
        self.ring: RingTwin | None = None
        self.cut_off_frames = 0
        self._twin = twin
        twin.streams.append(self)

    @property
    def time(self) -> float:
        return time.monotonic()

    def start(self) -> None:
        with self._twin.entered():
            self._twin.starts.append(self.name)
            if self.name in self._twin.refused:
                raise PortAudioError("Unanticipated host error")
        self.active = True

    def abort(self) -> None:
        self.cut_off_frames = self.ring.read_available if self.ring else 0
        self.active = False

    def close(self) -> None:
        with self._twin.entered():
            self.is_closed = True

    def play_ringbuffer(self, ring: RingTwin) -> SimpleNamespace:
        assert self.active, "it was given samples before it ran"
        self.ring = ring
        return self._act()

    def play_buffer(self, samples: NDArray[np.float32], channels: int) -> SimpleNamespace:
        return self._act()

    def _act(self) -> SimpleNamespace:
        action = SimpleNamespace(done_frames=0, actual_time=0.0, stats=StatsTwin())
        self.actions.append(action)
        return action


class StatsTwin:
    """Of an action that is never late: there was a block since one last looked."""

    def __init__(self) -> None:
        self.output_underflows = 0
        self._blocks = 0

    @property
    def blocks(self) -> int:
        self._blocks += 1
        return self._blocks


class RingTwin:
    """A ring that is read in real time, whether somebody listens or not."""

    def __init__(self, elementsize: int, size: int) -> None:
        self.samples: list[NDArray[np.float32]] = []
        self._left = 0.0
        self._looked = time.monotonic()

    @property
    def read_available(self) -> int:
        before, self._looked = self._looked, time.monotonic()
        self._left = max(0.0, self._left - _RATE_HZ * (self._looked - before))
        return math.ceil(self._left)

    def write(self, samples: NDArray[np.float32]) -> int:
        self.samples.append(samples.copy())
        self._left = self.read_available + len(samples)
        return len(samples)
