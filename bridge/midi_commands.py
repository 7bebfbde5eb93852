"""The protocol's group `midi/...`, and the MIDI input behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.control.message import Value
from bridge.midi_controllers import Controllers
from bridge.refusal import Refusal
from bridge.settings import MidiConfig
from musicgen_rt.errors import ParameterError

if TYPE_CHECKING:
    from bridge.clock.midi import MidiFeed
    from bridge.midi_in import CommandSink, MidiIn


class MidiCommands:
    """Starts and stops the MIDI input and does what clients ask of it. [control]"""

    def __init__(self, config: MidiConfig, sink: CommandSink, feed: MidiFeed | None = None) -> None:
        """`feed` takes MIDI clock. Raises ParameterError for controllers that move nothing."""
        self._config = config
        self._sink = sink
        self._feed = feed
        self._controllers = Controllers.configured(config.cc)
        self._midi: MidiIn | None = None

    def start(self) -> None:
        """Look for devices from now on, unless MIDI is turned off."""
        if not self._config.is_on:
            return
        from bridge.midi_in import MidiIn

        self._midi = MidiIn(self._config, self._sink, self._controllers, feed=self._feed)
        self._midi.start()

    def stop(self) -> None:
        """Close all inputs."""
        if self._midi is not None:
            self._midi.stop()
            self._midi = None

    def tick(self) -> None:
        """Notice devices that have fallen silent."""
        if self._midi is not None:
            self._midi.tick()

    def release_all(self) -> None:
        """Let go of all notes: panic."""
        if self._midi is not None:
            self._midi.release_all()

    def do(self, name: str, args: tuple[Value, ...]) -> tuple[Value, ...]:
        """Carry out midi/`name`; the values that it answers. Raises Refusal."""
        midi = self._midi
        if midi is None:
            raise Refusal("MIDI is turned off: start the daemon without --no-midi")
        try:
            if name == "list":
                return midi.port_names()
            if name == "panic":
                midi.release_all()
            elif name == "learn":
                midi.learn(str(args[0]))
            else:
                midi.forget(str(args[0]))
        except ParameterError as error:
            raise Refusal(str(error)) from error
        return ()
