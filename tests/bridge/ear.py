"""What a listener hears of the daemon: a JACK client that records, and what no recording may have.

Invariant V of the fault plan, for a steady tone: every sample finite and under the ceiling, no
step above the click threshold, no hole longer than a device period. What JACK itself dropped, on a
machine without real-time priority, is not the daemon's: those periods are left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tests.bridge.jack_server import PERIOD_FRAMES, RATE_HZ

CEILING: Final = 10 ** (-1 / 20) + 1e-4
MAX_SECONDS: Final = 120
# A period that was missed spoils what lies next to it too.
_AROUND_MISSED_SAMPLES: Final = 3 * PERIOD_FRAMES

Samples = NDArray[np.float32]


class Ear:
    """Records what the daemon plays into JACK, from `connect` on."""

    def __init__(self, server: str) -> None:
        # Here, since the import fails where there is no JACK library.
        import jack

        self._client = jack.Client("ear", no_start_server=True, servername=server)
        self._port = self._client.inports.register("in")
        self._samples = np.zeros(MAX_SECONDS * RATE_HZ, np.float32)
        self._length = 0
        self._next_time: int | None = None
        # Where the server or this client missed a period.
        self.missed: list[int] = []
        self._client.set_process_callback(self._process)
        self._client.set_xrun_callback(self._count_xrun)
        self._client.activate()

    def connect(self, seconds: float = 60.0) -> None:
        """Wait for an output of the daemon and listen to it."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            ports = self._client.get_ports(is_audio=True, is_output=True)
            ports = [port for port in ports if not port.name.startswith(("system:", "ear:"))]
            if ports:
                self._client.connect(ports[0], self._port)
                return
            time.sleep(0.05)
        raise AssertionError("the daemon has no JACK output")

    @property
    def length(self) -> int:
        """Samples heard so far."""
        return self._length

    def heard(self, first: int = 0) -> Samples:
        """What was heard from sample `first` on, float32 [N]."""
        return self._samples[first : self._length].copy()

    def stretches(self, first: int = 0) -> list[Samples]:
        """What was heard from sample `first` on, between the periods that JACK missed."""
        edges = [first, *sorted(at for at in set(self.missed) if at >= first), self._length]
        around = _AROUND_MISSED_SAMPLES
        pieces = [
            self._samples[begin + around * (index > 0) : max(begin, end - around)].copy()
            for index, (begin, end) in enumerate(pairwise(edges))
        ]
        return [piece for piece in pieces if len(piece) > PERIOD_FRAMES]

    def until(self, condition: Callable[[Samples], bool], seconds: float = 30.0) -> None:
        """Wait until the last tenth of a second sounds as wanted."""
        deadline = time.monotonic() + seconds
        while not condition(self.heard(max(0, self._length - RATE_HZ // 10))):
            assert time.monotonic() < deadline, f"not heard in {seconds} s"
            time.sleep(0.02)

    def close(self) -> None:
        """Stop listening."""
        self._client.deactivate()
        self._client.close()

    def _process(self, frames: int) -> None:
        now = self._client.last_frame_time
        if self._next_time not in (None, now):
            self.missed.append(self._length)
        self._next_time = (now + frames) % 2**32
        end = self._length + frames
        if end <= len(self._samples):
            self._samples[self._length : end] = self._port.get_array()
            self._length = end

    def _count_xrun(self, delay_us: float) -> None:
        self.missed.append(self._length)


def is_loud(samples: Samples) -> bool:
    """Whether there is sound at all."""
    return len(samples) > 0 and float(np.sqrt(np.mean(samples**2))) > 0.01


def holes(samples: Samples) -> list[tuple[int, int]]:
    """Stretches of near silence longer than one device period: (first sample, length)."""
    quiet = np.abs(samples) < 1e-4
    edges = np.flatnonzero(np.diff(np.concatenate(([False], quiet, [False])).astype(np.int8)))
    return [
        (int(first), int(end - first))
        for first, end in edges.reshape(-1, 2)
        if end - first > PERIOD_FRAMES
    ]


def assert_invariant_v(stretches: Sequence[Samples], *, max_step: float) -> None:
    """Check recordings of a steady tone, whose own steps are well below `max_step`."""
    assert sum(map(len, stretches)) > RATE_HZ // 2, "too little was heard to judge"
    for samples in stretches:
        assert np.isfinite(samples).all()
        assert np.abs(samples).max() <= CEILING
        steps = np.abs(np.diff(samples))
        assert steps.max() < max_step, f"a click at sample {int(steps.argmax())}: {steps.max():.3f}"
        assert holes(samples) == []
