"""The part of the chain that counts session samples: music, gate, gain and mute."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bridge.playout.dc_blocker import DCBlocker
from bridge.playout.fader import Fader
from bridge.playout.failover import Failover, Readiness
from bridge.playout.gate import Gate
from bridge.playout.grid import Grid
from musicgen_rt.contract.buffer_snapshot import PlayoutState

_MAX_EVENTS = 256


@dataclass(frozen=True)
class Applied:
    """The request `id` takes effect at `sample`."""

    id: int
    sample: int


@dataclass(frozen=True)
class Superseded:
    """The request `id` will never take effect: a later one came first."""

    id: int


class SessionStage:
    """Gives blocks of session samples, of music or of silence. [pump]

    What happened comes through `events`, in order.
    """

    def __init__(
        self, failover: Failover, gate: Gate, fader: Fader, rate_hz: int, channels: int
    ) -> None:
        self.failover = failover
        self.fader = fader
        self.events: deque[Applied | Superseded] = deque(maxlen=_MAX_EVENTS)
        self._gate = gate
        self._closing_id: int | None = None
        # The session's beat at which it closes, if that was asked for at a line.
        self._closing_beat: float | None = None
        self._channels = channels
        self._blocker = DCBlocker(rate_hz)
        self._blocker_state = DCBlocker.start(channels)

    @property
    def position(self) -> int:
        """The next session sample that is given."""
        return self.failover.position

    @property
    def state(self) -> PlayoutState:
        """What the playhead does."""
        is_standing = self._gate.is_standing(self.position)
        return PlayoutState.STOPPED if is_standing else self.failover.state

    @property
    def stop_sample(self) -> int:
        """Where the playhead stands or will; its position if it is not to stop."""
        stop = self._gate.stop_sample
        return self.position if stop is None else stop

    @property
    def is_to_stop(self) -> bool:
        """Whether the playhead stands, or will."""
        return self._gate.stop_sample is not None

    def close_gate(self, id: int | None, sample: int | None, beat: float | None = None) -> None:
        """Stop at `sample`, or as soon as a fade allows."""
        self._drop_closing()
        if self._gate.is_standing(self.position):
            self._answer(id)
            return
        if self.failover.state is PlayoutState.WAITING:  # there is nothing to fade out
            self._gate = self._gate.stand(self.position)
            self._answer(id)
            return
        self._gate = self._gate.close(self.position, sample)
        self._closing_id, self._closing_beat = id, beat

    def open_gate(self, id: int | None) -> None:
        """Play from where the playhead stands, or do not stop after all."""
        self._drop_closing()
        if self._gate.stop_sample is not None:
            self._gate = self._gate.open(self.position)
        self._answer(id)

    def set_grid(self, grid: Grid) -> None:
        """Beats lie elsewhere now: loops go by them, and what waits for a line goes with it."""
        self.failover.set_grid(grid)
        self.fader.move_lines(grid.sample_at_beat)
        if self._closing_beat is not None and not self._gate.is_standing(self.position):
            self._gate = self._gate.close(self.position, grid.sample_at_beat(self._closing_beat))

    def render(self, count: int, is_urgent: bool) -> NDArray[np.float32] | None:
        """The next samples [C, count]; None if it is not urgent and the engine may bring more."""
        played = self._gate.span(self.position, count)
        if played == 0:
            return self._stand(count)
        readiness = self.failover.prepare(played, is_urgent)
        if readiness is Readiness.LATER:
            return None
        if readiness is Readiness.STANDING:
            return self._stand(count)
        music = self._play(played)
        if self._gate.is_standing(self.position) and self._closing_id is not None:
            self._answer(self._closing_id)
            self._closing_id = None
        return np.concatenate([music, self._silence(count - played)], axis=1)

    def _play(self, count: int) -> NDArray[np.float32]:
        first = self.position
        music = self.failover.read(count)
        self._blocker_state, music = self._blocker.process(self._blocker_state, music)
        gains, begun = self.fader.gains(first, count)
        self.events.extend(Applied(id, first) for id in begun)
        return music * (gains * self._gate.gains(first, count))

    def _stand(self, count: int) -> NDArray[np.float32]:
        """Silence; changes of gain that are due are made, though nobody hears them."""
        _, begun = self.fader.gains(self.position, 1)
        self.events.extend(Applied(id, self.position) for id in begun)
        return self._silence(count)

    def _answer(self, id: int | None) -> None:
        if id is not None:
            self.events.append(Applied(id, self.position))

    def _drop_closing(self) -> None:
        if self._closing_id is not None:
            self.events.append(Superseded(self._closing_id))
            self._closing_id = None
        self._closing_beat = None

    def _silence(self, count: int) -> NDArray[np.float32]:
        return np.zeros((self._channels, count), np.float32)
