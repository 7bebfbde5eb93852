"""MIDI clock as a clock source: what the MIDI inputs hear of it, or JACK's MIDI to the sample."""

from __future__ import annotations

import importlib.util
from collections import deque
from collections.abc import Sequence

from bridge.clock.anchor import Anchor, Quality
from bridge.clock.child import ClockChild
from bridge.clock.midi_position import CLOCK, MidiPosition
from bridge.clock.source import HostClock

_MODULE = "bridge.clock.jack_process"
_MAX_WAITING = 4096
# Another input is listened to when the one that was has been silent for so long.
_SILENCE_NS = 2 * 10**9


class MidiFeed:
    """Clock messages on their way from the system's MIDI threads to [control]; bounded."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, tuple[int, ...], int]] = deque(maxlen=_MAX_WAITING)

    def put(self, port: str, data: Sequence[int], time_ns: int) -> None:
        """[any] One message of an input, and when it came."""
        self._waiting.append((port, tuple(data), time_ns))

    def take(self) -> list[tuple[str, tuple[int, ...], int]]:
        """[control] What has come since the last call."""
        return [self._waiting.popleft() for _ in range(len(self._waiting))]


class MidiSource(HostClock):
    """Anchors of MIDI clock. [control]"""

    name = "midi"
    host = "the sequencer that sends MIDI clock"

    def __init__(self, feed: MidiFeed, *, is_jack: bool = False) -> None:
        """With `is_jack`, JACK's MIDI is listened to in a process of its own."""
        self._feed = feed
        feed.take()  # what came before it was chosen is no clock of ours
        self._position = MidiPosition()
        self._port: str | None = None
        self._heard_ns = 0
        self._child: ClockChild | None = None
        if is_jack and importlib.util.find_spec("jack") is not None:
            self._child = ClockChild(_MODULE, ("--midi-in", "--name", "musicgen-rt-midi"))

    def anchor(self, now_ns: int) -> Anchor | None:
        self._take()
        return self._position.anchor(now_ns)

    def quality(self, now_ns: int) -> Quality:
        return self._position.quality(now_ns)

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()

    def _take(self) -> None:
        fed = self._feed.take()
        if self._child is not None:  # it hears the same, to the sample
            for message in self._child.take():
                if message.get("type") == "midi":
                    self._position.take(message["data"], int(message["time_ns"]))
            return
        for port, data, time_ns in fed:
            if self._is_ours(port, data, time_ns):
                self._position.take(data, time_ns)

    def _is_ours(self, port: str, data: Sequence[int], time_ns: int) -> bool:
        """Whether this is the input that is followed: two clocks at once make no tempo."""
        if port != self._port and time_ns - self._heard_ns > _SILENCE_NS and data[:1] == (CLOCK,):
            self._port = port
        if port != self._port:
            return False
        self._heard_ns = time_ns
        return True
