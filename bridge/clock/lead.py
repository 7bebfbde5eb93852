"""We lead: MIDI clock out, on the beats of what is heard, through JACK's MIDI to the sample."""

from __future__ import annotations

import importlib.util
from typing import Protocol

from bridge.clock.child import ClockChild
from bridge.control.position import Position
from bridge.refusal import Refusal
from musicgen_rt.contract.timeline import Timeline

_MODULE = "bridge.clock.jack_process"
CLIENT_NAME = "musicgen-rt-lead"


class Led(Protocol):
    """What says where the music is: the dispatcher."""

    def heard(self) -> tuple[Timeline, Position, int]:
        """Timeline, position, and the moment (monotonic ns) that they are of."""


class MidiLead:
    """Keeps a JACK MIDI port that sends clock, start and stop. [control]"""

    def __init__(self, led: Led) -> None:
        """Raises Refusal without JACK-Client."""
        if importlib.util.find_spec("jack") is None:
            raise Refusal(
                "MIDI clock out goes through JACK and needs the package JACK-Client: "
                "pip install JACK-Client"
            )
        self._led = led
        self._child = ClockChild(_MODULE, ("--midi-out", "--name", CLIENT_NAME))

    def tick(self) -> None:
        """Say where the music is; call it every few tens of milliseconds."""
        self._child.take()
        timeline, position, now_ns = self._led.heard()
        self._child.send(lead_message(timeline, position, now_ns))

    def stop(self) -> None:
        """Close the port."""
        self._child.stop()


def lead_message(timeline: Timeline, position: Position, now_ns: int) -> dict[str, object]:
    """The beat that is heard now, bars on multiples of their length."""
    frame = position.heard_frame(now_ns)
    bar, place = timeline.bar_position_at(frame)
    return {
        "type": "lead",
        "time_ns": now_ns,
        "beat": bar * timeline.beats_per_bar_at(int(frame)) + place,
        "beats_per_bar": timeline.beats_per_bar_at(int(frame)),
        "bpm": timeline.bpm_at(frame),
        "is_playing": position.is_moving,
    }
