"""We lead: MIDI clock out, on the beats of what is heard.

Through JACK's MIDI each message lies on its sample; other systems' MIDI sends at once, and a
process of its own waits for each tick.
"""

from __future__ import annotations

import importlib.util
from typing import Protocol

from bridge.clock.child import ClockChild
from bridge.control.position import Position
from bridge.refusal import Refusal
from musicgen_rt.contract.timeline import Timeline

_JACK_MODULE = "bridge.clock.jack_process"
_SYSTEM_MODULE = "bridge.clock.midi_out_process"
CLIENT_NAME = "musicgen-rt-lead"


class Led(Protocol):
    """What says where the music is: the dispatcher."""

    def heard(self) -> tuple[Timeline, Position, int]:
        """Timeline, position, and the moment (monotonic ns) that they are of."""


class MidiLead:
    """Keeps a port that sends clock, start and stop. [control]"""

    def __init__(self, led: Led, api: str = "auto", port: str = "") -> None:
        """`api` is one of the MIDI settings'; `port` a part of an output's name, or "" for our own.

        A port that cannot be opened is told in the log, and tried again. Raises Refusal for JACK's
        MIDI without JACK-Client.
        """
        self._led = led
        if api != "jack":
            arguments = ("--api", api, "--port", port, "--name", CLIENT_NAME)
            self._child = ClockChild(_SYSTEM_MODULE, arguments)
            return
        if importlib.util.find_spec("jack") is None:
            raise Refusal(
                "MIDI clock out through JACK needs the package JACK-Client: pip install JACK-Client"
            )
        self._child = ClockChild(_JACK_MODULE, ("--midi-out", "--name", CLIENT_NAME))

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
