"""The player: fills the output's queue in time, and tells everyone where the music is.

One thread calls `step`, over and over, and waits in between for as long as `step` says. All time
comes from the clock it is given, so a test can run hours of it in seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from bridge.playout.dac_clock import DacClock
from bridge.playout.device_stage import DeviceStage
from bridge.playout.fader import Fader
from bridge.playout.failover import BadSamples, Failover, FallbackChanged
from bridge.playout.gate import Gate
from bridge.playout.options import PlayoutOptions
from bridge.playout.output import Output
from bridge.playout.pacer import Pacer
from bridge.playout.session_stage import Applied, SessionStage, Superseded
from bridge.playout.sinks import Sinks
from musicgen_rt.contract.buffer import TimelineBuffer
from musicgen_rt.contract.buffer_snapshot import PlayoutState

BLOCK_SECONDS = 0.008
HEARTBEAT_NS = 100_000_000

_PUBLISH_NS = 10_000_000
_MIN_WAIT_SECONDS = 0.001
_MAX_WAIT_SECONDS = 0.008
# More renderings in one step mean that the output takes more than can be made.
_MAX_BLOCKS = 200

T = TypeVar("T")


@dataclass(frozen=True)
class Opening:
    """The gate is to open so that what follows is heard from `time_ns` on; `id` is answered."""

    id: int
    time_ns: int


class Post(Protocol):
    """Sends a message to control without waiting; False if it was dropped."""

    def __call__(
        self, message: dict[str, Any], payload: bytes = b"", *, is_missable: bool = False
    ) -> bool: ...


class Player:
    """The chain from the timeline buffer to one output. [pump]"""

    def __init__(
        self,
        buffer: TimelineBuffer,
        options: PlayoutOptions,
        output: Output,
        clock_ns: Callable[[], int],
        post: Post,
    ) -> None:
        rate_hz = buffer.rate_hz
        self._buffer = buffer
        self._options = options
        self._clock_ns = clock_ns
        self._post = post
        self.hop_samples = options.grid.hop_samples
        self._block_samples = round(BLOCK_SECONDS * rate_hz)
        failover = Failover(
            buffer,
            options.grid,
            round(options.start_seconds * rate_hz),
            round(options.return_seconds * rate_hz),
        )
        position = failover.position
        gate = Gate.start(rate_hz, options.fade_seconds, options.is_open, position)
        fader = Fader(rate_hz, options.gain_db, options.is_muted)
        self.session = SessionStage(failover, gate, fader, rate_hz, buffer.channels)
        self.sinks = Sinks(post, options.sends_pcm)
        self._pacer = Pacer(rate_hz)
        self._opening: Opening | None = None
        self._state = PlayoutState.STARTING
        self._underruns = 0
        self._gap_seconds = 0.0
        self._fill_min = 0
        self._last_beat_ns = self._last_publish_ns = clock_ns()
        self._attach(output)

    def step(self) -> float:
        """Do all that is due; returns the seconds until there may be more.

        Raises DeviceLostError when the output is of no more use.
        """
        now_ns = self._clock_ns()
        self._look_after_output(now_ns)
        wait_seconds = self._fill()
        self._tell()
        self._publish(now_ns)
        if now_ns - self._last_beat_ns >= HEARTBEAT_NS:
            self._beat(now_ns)
        return wait_seconds

    def open_gate(self, id: int, time_ns: int | None) -> None:
        """Play from where the playhead stands: at once, or heard at a moment of the clock."""
        self._drop_opening()
        if time_ns is None or not self.session.is_to_stop:
            self.session.open_gate(id)
        else:
            self._opening = Opening(id, time_ns)

    def close_gate(self, id: int, sample: int | None, beat: float | None = None) -> None:
        """Stop at `sample`, which lies at `beat` if it is a line, or as soon as a fade allows."""
        self._drop_opening()
        self.session.close_gate(id, sample, beat)

    def change_output(self, output: Output) -> None:
        """Go on with another output, from the next sample on."""
        last = self.session.render(self._block_samples, is_urgent=True)
        if last is not None:
            block = self._stage.process(last, self.session.position)
            self.output.write(self._stage.fade_out(block))
        old = self.output
        self._attach(output)
        old.close()

    def close(self) -> None:
        """Close files and give the device back; the gate should be closed and the queue empty."""
        self.sinks.close()
        self.output.close()

    def _attach(self, output: Output) -> None:
        info = output.info
        self.output = output
        self._stage = DeviceStage(
            info,
            self._buffer.rate_hz,
            self._buffer.channels,
            self._options.ceiling_db,
            position=self.session.position,
            is_adjustable=self._options.is_host_paced,
        )
        self._dac = DacClock(info.rate_hz, info.latency_seconds)
        self._pacer.restart()
        # Two of the device's blocks must fit, whatever the horizon says.
        horizon = round(self._options.horizon_seconds * info.rate_hz)
        self._target = max(horizon, 2 * info.block_frames)
        self._fill_min = self._target
        self._is_begun = False
        self._device_underruns = self._dropouts = 0
        self.sinks.set_format(info.rate_hz, info.channels)

    def _look_after_output(self, now_ns: int) -> None:
        if not self._is_begun:
            return
        health = self.output.poll(now_ns)
        self._gap_seconds = max(self._gap_seconds, health.gap_seconds)
        if health.dropouts != self._dropouts or health.underruns != self._device_underruns:
            self._dac.restart()
            self._pacer.restart()
        self._dropouts = health.dropouts
        if health.underruns != self._device_underruns:
            self._underruns += health.underruns - self._device_underruns
            self._device_underruns = health.underruns
            self._post({"type": "underrun", "count": self._underruns})

    def _fill(self) -> float:
        """Keep the output's queue at the horizon; returns the seconds until it needs more."""
        info = self.output.info
        queued = self.output.queued()
        if self._is_begun:
            self._fill_min = min(self._fill_min, queued)
        for _ in range(_MAX_BLOCKS):
            if queued >= self._target:
                break
            # As long as half of the queue is left, the engine may still bring what is missing.
            is_urgent = queued < self._target // 2
            samples = self.session.render(self._next_samples(), is_urgent)
            if samples is None:
                break
            self._deliver(self._stage.process(samples, self.session.position))
            queued = self.output.queued()
        if not self._is_begun:
            self.output.begin()
            self._is_begun = True
        surplus = queued - self._target + BLOCK_SECONDS * info.rate_hz
        return min(max(surplus / info.rate_hz, _MIN_WAIT_SECONDS), _MAX_WAIT_SECONDS)

    def _next_samples(self) -> int:
        """How many to render: a block, or those that are left until the gate opens."""
        opening = self._opening
        if opening is None:
            return self._block_samples
        taken = self.output.written - self.output.queued()
        device_sample = self._stage.positions.device_sample_of_next()
        heard_ns = self._dac.time_ns(device_sample, taken, self._clock_ns())
        count = round((opening.time_ns - heard_ns) * 1e-9 * self._buffer.rate_hz)
        if count > 0:
            return min(count, self._block_samples)
        self._opening = None
        self.session.open_gate(opening.id)
        return self._block_samples

    def _drop_opening(self) -> None:
        if self._opening is not None:
            self.session.events.append(Superseded(self._opening.id))
            self._opening = None

    def _deliver(self, block: NDArray[np.float32]) -> None:
        first = self._stage.positions.session_sample(self.output.written)
        self.output.write(block)
        is_playing = self._state in (PlayoutState.LIVE, PlayoutState.FALLBACK)
        self.sinks.write(block, first, is_playing)

    def _tell(self) -> None:
        """Send what happened in the chain."""
        for event in _drained(self.session.events):
            if isinstance(event, Applied):
                self._post({"type": "applied", "id": event.id, "sample": event.sample})
            else:
                reason = "a later play or stop took its place"
                self._post({"type": "failed", "id": event.id, "reason": reason})
        for change in _drained(self.session.failover.events):
            self._tell_failover(change)
        self.sinks.tell()
        state = self.session.state
        if state is not self._state:
            self._state = state
            sample = self.session.position
            self._post({"type": "state", "state": state.name.lower(), "sample": sample})
            self._pacer.restart()

    def _tell_failover(self, event: FallbackChanged | BadSamples) -> None:
        if isinstance(event, FallbackChanged):
            self._post({"type": "fallback", "is_on": event.is_on, "sample": event.sample})
            return
        text = f"the engine's music is not finite or absurdly loud at sample {event.sample}"
        self._post({"type": "warning", "text": text}, is_missable=True)

    def _publish(self, now_ns: int) -> None:
        """Write the positions into the buffer, and follow the DAC's clock."""
        taken = self.output.written - self.output.queued()
        positions = self._stage.positions
        self._buffer.publish_reader(int(positions.session_sample(taken)))
        self._buffer.publish_state(self._state, self._underruns)
        report = self.output.dac_report() if self._is_begun else None
        if report is not None:
            self._dac.report(*report, now_ns)
            self._pace(now_ns, taken)
        if now_ns - self._last_publish_ns >= _PUBLISH_NS:
            self._last_publish_ns = now_ns
            time_ns = self._dac.time_ns(taken, taken, now_ns)
            self._buffer.publish_dac(positions.session_sample(taken), time_ns)

    def _pace(self, now_ns: int, taken: int) -> None:
        is_moving = self._state in (PlayoutState.LIVE, PlayoutState.FALLBACK)
        if not (self._options.is_host_paced and self._dac.is_locked and is_moving):
            return
        heard_ns = self._dac.time_ns(taken, taken, now_ns)
        heard = self._stage.positions.session_sample(taken)
        self._stage.resampler.set_correction(self._pacer.correction(heard, heard_ns))

    def _beat(self, now_ns: int) -> None:
        self._last_beat_ns = now_ns
        rate_hz = self.output.info.rate_hz
        seen = self._buffer.snapshot()
        levels = self._stage.meter.read()
        self._post(
            {
                "type": "heartbeat",
                "reader_sample": seen.reader_sample,
                "commit_sample": seen.commit_sample,
                "state": self._state.name.lower(),
                "is_fallback": self._state is PlayoutState.FALLBACK,
                "underruns": self._underruns,
                "dropouts": self._dropouts,
                "peak_db": round(levels.peak_db, 2),
                "rms_db": round(levels.rms_db, 2),
                "limiter_db": round(levels.limiter_db, 2),
                "callback_gap_ms": round(1000 * self._gap_seconds, 1),
                "fill_ms": round(1000 * self.output.queued() / rate_hz, 1),
                "fill_min_ms": round(1000 * self._fill_min / rate_hz, 1),
                "drift_ppm": round(self._pacer.drift_ppm, 1),
                "pcm_dropped": self.sinks.pcm_dropped,
                "bad_chunks": self.session.failover.bad_chunks + self._stage.repaired,
            },
            is_missable=True,
        )
        self._gap_seconds = 0.0
        self._fill_min = self._target


def _drained(events: deque[T]) -> Iterator[T]:
    while events:
        yield events.popleft()
