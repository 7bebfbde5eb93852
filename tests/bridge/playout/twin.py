"""The offline twin: the whole playout against a virtual clock, an engine and a device of numbers.

Nothing here waits: the clock advances by what the player asks to wait for, so that a minute takes
about a second, and every run of a test is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge.playout.options import PlayoutOptions
from bridge.playout.output import NullOutput
from bridge.playout.player import Player
from bridge.playout.requests import Requests
from musicgen_rt.contract.buffer import BehindCommitError, TimelineBuffer
from musicgen_rt.contract.timeline import Timeline

RATE_HZ = 32000
HOP_SAMPLES = 640
BPM = 120.0
BAR_SAMPLES = 2 * RATE_HZ
CLICK_STEP = 0.25

Signal = Callable[[NDArray[np.int64]], NDArray[np.float64]]


def sine(frequency_hz: float, level: float = 0.5) -> Signal:
    """A tone whose phase is that of the session."""
    return lambda sample: level * np.sin(2 * np.pi * frequency_hz * sample / RATE_HZ)


class VirtualClock:
    """Nanoseconds that pass only when told to."""

    def __init__(self) -> None:
        self.now_ns = 1_000_000_000

    def __call__(self) -> int:
        return self.now_ns

    def advance(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


class TwinOutput(NullOutput):
    """A device whose clock may be off by `ppm`; keeps what it was given."""

    def __init__(
        self,
        clock: VirtualClock,
        rate_hz: int = 48000,
        channels: int = 2,
        block_frames: int = 512,
        ppm: float = 0.0,
    ) -> None:
        begin_ns = clock()

        def device_ns() -> int:
            return begin_ns + round((clock() - begin_ns) * (1 + ppm * 1e-6))

        def host_ns(time_ns: int) -> int:
            return begin_ns + round((time_ns - begin_ns) / (1 + ppm * 1e-6))

        super().__init__(rate_hz, channels, device_ns, kind="device", block_frames=block_frames)
        self._host_ns = host_ns
        self.blocks: list[NDArray[np.float32]] = []
        self.is_closed = False

    def write(self, samples: NDArray[np.float32]) -> None:
        super().write(samples)
        self.blocks.append(samples.copy())

    def dac_report(self) -> tuple[int, int] | None:
        report = super().dac_report()
        return None if report is None else (report[0], self._host_ns(report[1]))

    def close(self) -> None:
        super().close()
        self.is_closed = True

    @property
    def began_host_ns(self) -> int:
        """When sample 0 was heard, by the host's clock; it has never run dry since."""
        assert self._began_ns is not None and self._began_at == 0
        return self._host_ns(self._began_ns)

    @property
    def heard(self) -> NDArray[np.float32]:
        """All it was given: [N, C]."""
        return np.concatenate(self.blocks)


class TwinEngine:
    """Writes `signal` of the session sample, up to `lead_samples` ahead of the commit point."""

    def __init__(self, buffer: TimelineBuffer, signal: Signal, lead_samples: int = 16000) -> None:
        self.buffer = buffer
        self.signal = signal
        self.lead_samples = lead_samples
        self.chunk_samples = 5 * HOP_SAMPLES
        self.is_alive = True

    def run(self) -> None:
        """Write what is missing of the lead."""
        while self.is_alive:
            seen = self.buffer.snapshot()
            if seen.written_end + self.chunk_samples > seen.commit_sample + self.lead_samples:
                return
            try:
                self.write(seen.written_end)
            except BehindCommitError:
                return

    def write(self, first: int, count: int | None = None, fade_samples: int = 0) -> None:
        """Append or rewrite one chunk."""
        positions = np.arange(first, first + (count or self.chunk_samples))
        samples = np.tile(self.signal(positions), (self.buffer.channels, 1))
        self.buffer.write(first, samples, fade_samples)

    def return_at(self, first: int, seconds: float = 0.4) -> None:
        """Come back to life: a new stretch from `first` on."""
        self.is_alive = True
        self.buffer.start_stretch(first)
        self.write(first, round(seconds * RATE_HZ))


class Twin:
    """A playout with its engine, its device and all its messages."""

    def __init__(
        self,
        signal: Signal,
        *,
        channels: int = 2,
        output: Callable[[VirtualClock], TwinOutput] = TwinOutput,
        buffer: TimelineBuffer | None = None,
        **options: Any,
    ) -> None:
        self.clock = VirtualClock()
        self.buffer = buffer or TimelineBuffer.create(RATE_HZ, channels, 40 * RATE_HZ)
        self.engine = TwinEngine(self.buffer, signal)
        self.output = output(self.clock)
        self.messages: list[dict[str, Any]] = []
        self.payloads: list[bytes] = []
        timeline = Timeline.start(BPM).to_json()
        start = {"timeline": timeline, "hop_samples": HOP_SAMPLES, **options}
        settings = PlayoutOptions.from_message(start)
        self.player = Player(self.buffer, settings, self.output, self.clock, self._post)
        self.requests = Requests(self.player, self._post, lambda name, id: None)

    def run(self, seconds: float, step: Callable[[], None] = lambda: None) -> None:
        """Let time pass; `step` is called with the engine's every turn."""
        until_ns = self.clock() + round(seconds * 1e9)
        while self.clock() < until_ns:
            self.engine.run()
            step()
            self.clock.advance(self.player.step())

    def send(self, **message: Any) -> None:
        """A request of control."""
        self.requests.handle(message)

    def said(self, kind: str) -> list[dict[str, Any]]:
        """The messages of one type."""
        return [message for message in self.messages if message["type"] == kind]

    @property
    def heard(self) -> NDArray[np.float32]:
        return self.output.heard

    def _post(
        self, message: dict[str, Any], payload: bytes = b"", *, is_missable: bool = False
    ) -> bool:
        self.messages.append(message)
        self.payloads.append(payload)
        return True


@contextmanager
def twin(signal: Signal, **options: Any) -> Iterator[Twin]:
    """A twin whose memory is given back."""
    made = Twin(signal, **options)
    try:
        yield made
    finally:
        made.buffer.close()


def holes(samples: NDArray[np.float32], level: float = 1e-4) -> list[int]:
    """The lengths of all stretches [N, C] in which nothing is heard."""
    is_silent = (np.abs(samples) < level).all(axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], is_silent.view(np.int8), [0]])))
    return (edges[1::2] - edges[::2]).tolist()


def assert_invariant_v(
    samples: NDArray[np.float32],
    *,
    ceiling_db: float = -1.0,
    max_step: float = CLICK_STEP,
    max_hole: int | None = 512,
) -> None:
    """Every sample [N, C] finite, under the ceiling, without a click and without a hole."""
    assert np.isfinite(samples).all()
    assert np.abs(samples).max() <= 10 ** (ceiling_db / 20)
    steps = np.abs(np.diff(samples, axis=0))
    assert steps.max() < max_step, f"a step of {steps.max():.3f} at {steps.max(axis=1).argmax()}"
    if max_hole is not None:
        longest = max(holes(samples), default=0)
        assert longest <= max_hole, f"a hole of {longest} samples"
