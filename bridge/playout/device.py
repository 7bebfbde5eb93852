"""The sound card: rtmixer's C callback takes samples from a ring that the pump fills.

PortAudio gives no callback of ours the time, and rtmixer reports it only for the start of an
action. So a short action that plays silence - a ping - is started again and again: it starts with
a block whose DAC time rtmixer notes, and since both actions advance together, the difference of
what they have played says which sample of the ring that block began with.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge.playout.device_list import Device, DeviceWish
from bridge.playout.output import DeviceLostError, DeviceRefusedError, OutputHealth, OutputInfo
from bridge.playout.portaudio_turn import PORTAUDIO_TURN

# A callback that stays away so long will not come back in this process.
FROZEN_SECONDS = 2.0

_QUEUE_ACTIONS = 64
# More than the longest horizon.
_RING_SECONDS = 1.3
_PING_SAMPLES = 4096
_FLOAT_BYTES = 4
_MAX_CHANNELS = 2
# Looks at both clocks; the quickest says best.
_CLOCK_LOOKS = 3
_PLAY_OUT_LOOK_SECONDS = 0.005


class DeviceOutput:
    """An open device that runs, and is silent until `begin`. [pump]

    Made by whoever has PortAudio's turn: drivers take their time, and some refuse only the start.
    Raises DeviceRefusedError if it cannot be opened or started.
    """

    def __init__(self, device: Device, wish: DeviceWish) -> None:
        import rtmixer

        channels = min(device.channels, wish.channels or _MAX_CHANNELS)
        self._stream = _running_stream(device, wish, channels)
        rate_hz, latency_seconds = round(self._stream.samplerate), float(self._stream.latency)
        self.info = OutputInfo(
            kind="device",
            device=device.name,
            host_api=device.host_api,
            rate_hz=rate_hz,
            channels=channels,
            # A driver that chooses for itself takes no more at once than its latency holds.
            block_frames=self._stream.blocksize or math.ceil(latency_seconds * rate_hz),
            latency_seconds=latency_seconds,
        )
        size = 1 << (round(_RING_SECONDS * self.info.rate_hz) - 1).bit_length()
        self._ring = rtmixer.RingBuffer(_FLOAT_BYTES * channels, size)
        self._play: Any = None
        self._played_before = 0
        self._ping = _Ping(self._stream)
        self._written = 0
        self._underruns = 0
        self._dropouts_before = 0
        self._blocks = -1
        self._last_block_ns = 0

    @property
    def written(self) -> int:
        return self._written

    def queued(self) -> int:
        return int(self._ring.read_available)

    def write(self, samples: NDArray[np.float32]) -> None:
        self._written += int(self._ring.write(np.ascontiguousarray(samples, np.float32)))

    def begin(self) -> None:
        self._arm()

    def poll(self, now_ns: int) -> OutputHealth:
        if not self._stream.active:
            raise DeviceLostError(f"{self.info.device} is gone")
        # An action ends when it finds the ring empty: the device has run dry.
        if self._play not in self._stream.actions:
            self._underruns += 1
            self._dropouts_before += int(self._play.stats.output_underflows)
            self._arm()
        blocks = int(self._play.stats.blocks)
        if blocks != self._blocks or not self._last_block_ns:
            self._blocks, self._last_block_ns = blocks, now_ns
        gap_seconds = (now_ns - self._last_block_ns) * 1e-9
        if gap_seconds > FROZEN_SECONDS:
            raise DeviceLostError(
                f"{self.info.device} has not asked for samples for {gap_seconds:.1f} s"
            )
        dropouts = self._dropouts_before + int(self._play.stats.output_underflows)
        return OutputHealth(gap_seconds, self._underruns, dropouts)

    def dac_report(self) -> tuple[int, int] | None:
        seen = self._ping.look(self._play)
        if seen is None:
            return None
        sample, stream_seconds = seen
        if stream_seconds <= 0:  # a driver that does not know
            return self._played_before + sample, 0
        monotonic_ns = round((stream_seconds + self._clock_offset_seconds()) * 1e9)
        return self._played_before + sample, monotonic_ns

    def close(self) -> None:
        """Give the device back once it has played what is queued, which ends in a fade.

        A dead server lets PortAudio hang, so it is not waited for.
        """

        def close_stream() -> None:
            self._play_out()
            with PORTAUDIO_TURN.taken(None), contextlib.suppress(Exception):
                self._stream.abort()
                self._stream.close()
            PORTAUDIO_TURN.remove_stream()

        threading.Thread(target=close_stream, name="close-device", daemon=True).start()

    def _play_out(self) -> None:
        """Wait until what is queued has been heard, if it is. [close-device]"""
        queued = self.queued()
        until = time.monotonic() + queued / self.info.rate_hz + self.info.latency_seconds
        while self.queued() and time.monotonic() < until:
            time.sleep(_PLAY_OUT_LOOK_SECONDS)
        if queued:
            time.sleep(self.info.latency_seconds)

    def _arm(self) -> None:
        """Let the callback play the ring from here on."""
        self._played_before = self._written - self.queued()
        self._play = self._stream.play_ringbuffer(self._ring)
        self._blocks = -1
        self._ping.restart()

    def _clock_offset_seconds(self) -> float:
        """What to add to the stream's time to get monotonic time."""
        looks = []
        for _ in range(_CLOCK_LOOKS):
            before = time.monotonic()
            stream_seconds = self._stream.time
            after = time.monotonic()
            looks.append((after - before, (before + after) / 2 - stream_seconds))
        return min(looks)[1]


def _running_stream(device: Device, wish: DeviceWish, channels: int) -> Any:
    import rtmixer

    # PortAudio's own error class, which only sounddevice has, or a ValueError for bad numbers.
    try:
        stream = rtmixer.Mixer(
            device=device.index,
            samplerate=wish.rate_hz or device.rate_hz,
            channels=channels,
            blocksize=wish.block_frames,
            latency="low",
            qsize=_QUEUE_ACTIONS,
        )
    except Exception as error:
        raise DeviceRefusedError(f"{device.name} cannot be opened: {error}") from error
    try:
        stream.start()
    except Exception as error:
        with contextlib.suppress(Exception):
            stream.close()
        raise DeviceRefusedError(f"{device.name} cannot be started: {error}") from error
    PORTAUDIO_TURN.add_stream()
    return stream


class _Ping:
    """Silent actions that tell which sample met which DAC time. [pump]"""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._silence = np.zeros(_PING_SAMPLES, np.float32)
        self._action: Any = None
        self._differences: list[int] = []

    def restart(self) -> None:
        """Forget the ping under way: the ring's action is a new one."""
        self._action = None

    def look(self, play: Any) -> tuple[int, float] | None:
        """A finished observation: samples that `play` had played, and the stream's DAC time."""
        if self._action is None:
            self._action = self._stream.play_buffer(self._silence, channels=1)
            self._differences = []
            return None
        before = int(self._action.done_frames)
        played = int(play.done_frames)
        pinged = int(self._action.done_frames)
        if pinged < _PING_SAMPLES:
            if 0 < pinged == before:
                self._differences.append(played - pinged)
            return None
        started_seconds = float(self._action.actual_time)
        self._action = None
        # Seen in the middle of a callback, `play` is a block ahead.
        return (min(self._differences), started_seconds) if self._differences else None
