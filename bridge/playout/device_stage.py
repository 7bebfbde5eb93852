"""The part of the chain that counts the device's samples: rate, channels and the ceiling."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bridge.playout.fade import Ramp
from bridge.playout.limiter import Limiter
from bridge.playout.meter import Meter
from bridge.playout.output import OutputInfo
from bridge.playout.position_map import PositionMap
from bridge.playout.resampler import Resampler

_FADE_IN_SECONDS = 0.01


class DeviceStage:
    """Made anew for each output; it fades in. [pump]"""

    def __init__(
        self,
        info: OutputInfo,
        session_rate_hz: int,
        session_channels: int,
        ceiling_db: float,
        *,
        position: int,
        is_adjustable: bool = False,
    ) -> None:
        self.resampler = Resampler(session_rate_hz, info.rate_hz, session_channels, is_adjustable)
        self.meter = Meter()
        self.positions = PositionMap(position)
        self.repaired = 0
        self._mapping = channel_matrix(session_channels, info.channels)
        self._limiter = Limiter(info.rate_hz, ceiling_db)
        self._limiter_state = self._limiter.start(info.channels)
        self._fade = Ramp(0, round(_FADE_IN_SECONDS * info.rate_hz), 0.0, 1.0)
        self._given = 0

    def process(self, samples: NDArray[np.float32], position: int) -> NDArray[np.float32]:
        """What leaves for the device, [N, channels], after `samples` [C, M].

        `position` is the playhead after them.
        """
        self.positions.add_stream(samples.shape[1], position)
        block = self.resampler.process(samples) @ self._mapping
        if not np.isfinite(block).all():
            # Nothing upstream lets this through; a loudspeaker must not depend on that.
            self.repaired += 1
            block = np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0)
        self._limiter_state, block, gain = self._limiter.process(self._limiter_state, block)
        if not self._fade.is_over(self._given):
            block = block * self._fade.gains(self._given, len(block))[:, None]
        self._given += len(block)
        delay = self._limiter.delay_samples
        self.positions.add_device(len(block), self.resampler.consumed, delay)
        self.meter.add(block, gain)
        return block

    def fade_out(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """The last block [N, C] for this output."""
        return block * Ramp(0, max(1, len(block)), 1.0, 0.0).gains(0, len(block))[:, None]


def channel_matrix(inputs: int, outputs: int) -> NDArray[np.float32]:
    """Weights [inputs, outputs]: mono to all, all to mono, else channel by channel."""
    if inputs == 1:
        return np.ones((1, outputs), np.float32)
    if outputs == 1:
        return np.full((inputs, 1), 1 / inputs, np.float32)
    return np.eye(inputs, outputs, dtype=np.float32)
