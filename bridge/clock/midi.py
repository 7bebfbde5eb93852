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
# What inputs said that are not listened to: a position and a start come before the first clock.
_MAX_UNHEARD = 16

_Fed = tuple[str, tuple[int, ...], int]


class MidiFeed:
    """Clock messages on their way from the system's MIDI threads to [control]; bounded."""

    def __init__(self) -> None:
        self._waiting: deque[_Fed] = deque(maxlen=_MAX_WAITING)

    def put(self, port: str, data: Sequence[int], time_ns: int) -> None:
        """[any] One message of an input, and when it came."""
        self._waiting.append((port, tuple(data), time_ns))

    def take(self) -> list[_Fed]:
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
        self._unheard: deque[_Fed] = deque(maxlen=_MAX_UNHEARD)
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
        for one in fed:
            self._take_fed(one)

    def _take_fed(self, message: _Fed) -> None:
        """Follow one input: two clocks at once make no tempo.

        A sequencer may send its clock only while it plays: what it said just before is heard, too.
        """
        port, data, time_ns = message
        is_clock = data[:1] == (CLOCK,)
        if port != self._port and is_clock and time_ns - self._heard_ns > _SILENCE_NS:
            self._port = port
            for unheard_port, unheard, unheard_ns in self._unheard:
                if unheard_port == port and time_ns - unheard_ns < _SILENCE_NS:
                    self._position.take(unheard, unheard_ns)
            self._unheard.clear()
        if port == self._port:
            self._heard_ns = time_ns
            self._position.take(data, time_ns)
        elif not is_clock:
            self._unheard.append(message)
