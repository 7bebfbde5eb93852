"""MIDI into commands: notes to the melody, controllers to parameters, and no note that sticks.

A note is let go when its device vanishes, when a device that sends active sensing falls silent for
300 ms (MIDI 1.0: a receiver turns its voices off then), when all notes or sounds are turned off
(controllers 123, 120) or the system is reset, after a flood of which messages were dropped, and at
panic. While the sustain pedal is down (controller 64, unless it is bound to something else) notes
are held for the keys let go.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from bridge.clock.midi import MidiFeed
from bridge.clock.midi_position import CLOCK_MESSAGES
from bridge.midi_backend import MidiBackend, RtMidiBackend
from bridge.midi_controllers import Controllers
from bridge.midi_ports import MidiPorts, PortEvents
from bridge.settings import MidiConfig

ACTIVE_SENSING_SECONDS: Final = 0.3
# Controllers are gathered for so long: a turned knob sends hundreds of values a second.
GATHER_SECONDS: Final = 0.01
# Messages that wait for the event loop; beyond this they are dropped and counted.
MAX_WAITING: Final = 1000

_ACTIVE_SENSING: Final = 0xFE
_SYSTEM_RESET: Final = 0xFF
_SUSTAIN: Final = 64
_PEDAL_DOWN: Final = 64
_ALL_SOUND_OFF: Final = 120
_ALL_NOTES_OFF: Final = 123

_log = logging.getLogger("mgrt.midi")


class CommandSink(Protocol):
    """Where commands go: the dispatcher."""

    def local(self, address: str, *args: Any, client_name: str) -> None:
        """Execute a command."""

    def release(self, client_name: str) -> None:
        """Let go of all notes that a client holds."""


@dataclass
class _Port:
    """What is known of one open input. Changed by [control] alone."""

    client_name: str
    # Pitch to the channels that hold it.
    held: dict[int, set[int]] = field(default_factory=dict)
    # The channels whose pedal is down, and by pitch those whose key is up meanwhile.
    pedals: set[int] = field(default_factory=set)
    sustained: dict[int, set[int]] = field(default_factory=dict)
    senses: bool = False
    heard_at: float = 0.0


class MidiIn:
    """The daemon's MIDI inputs. All methods belong to the [control] thread."""

    def __init__(
        self,
        config: MidiConfig,
        sink: CommandSink,
        controllers: Controllers,
        *,
        make_backend: Callable[[], MidiBackend] | None = None,
        clock: Callable[[], float] = time.monotonic,
        feed: MidiFeed | None = None,
    ) -> None:
        """`feed` takes MIDI clock, with the time at which it came."""
        self._config = config
        self._sink = sink
        self._controllers = controllers
        self._clock = clock
        self._feed = feed
        self._ports: dict[str, _Port] = {}
        self._loop = asyncio.get_running_loop()
        self._waiting = 0
        # Inputs of which messages were dropped: a note off may have been among them.
        self._drowned: set[str] = set()
        self._has_gathered = False
        self.dropped = 0
        self._openers = MidiPorts(
            make_backend or (lambda: RtMidiBackend(config.api)),
            PortEvents(self._from_thread, self._opened, self._lost, self._trouble),
            wanted=config.inputs,
            virtual_port=config.virtual_port,
            rescan_seconds=config.rescan_seconds,
        )

    def start(self) -> None:
        """Look for devices from now on."""
        self._openers.start()

    def stop(self) -> None:
        """Close all inputs and let go of what they hold."""
        self._openers.stop()
        self.release_all()

    def port_names(self) -> tuple[str, ...]:
        """The inputs that are open."""
        return tuple(self._ports)

    def learn(self, target: str) -> None:
        """Bind the next controller that moves to `target`. Raises ParameterError."""
        self._controllers.learn(target)
        _log.info("move a controller to bind it to %s", target)

    def forget(self, target: str) -> None:
        """Undo `learn`. Raises ParameterError."""
        self._controllers.forget(target)

    def release_all(self) -> None:
        """Let go of every held note: panic."""
        for port in self._ports.values():
            self._release(port)

    def tick(self) -> None:
        """Notice devices that no longer send active sensing; call it every few tens of ms."""
        now = self._clock()
        for name, port in self._ports.items():
            if port.senses and now - port.heard_at > ACTIVE_SENSING_SECONDS:
                port.senses = False
                _log.warning("%s has fallen silent (active sensing): its notes are let go", name)
                self._release(port)

    def handle(self, name: str, data: Sequence[int]) -> None:
        """One message of an open input, as bytes."""
        port = self._ports.get(name)
        if port is None or not data:
            return
        port.heard_at = self._clock()
        status = data[0]
        if status == _ACTIVE_SENSING:
            port.senses = True
        elif status == _SYSTEM_RESET:
            self._release(port)
        elif 0x80 <= status < 0xC0 and len(data) == 3 and self._is_channel(status & 0x0F):
            self._channel_message(port, status & 0xF0, status & 0x0F, data[1], data[2])

    def _is_channel(self, channel: int) -> bool:
        return self._config.channel in (0, channel + 1)

    def _channel_message(self, port: _Port, kind: int, channel: int, first: int, last: int) -> None:
        if kind == 0x90 and last > 0:
            port.held.setdefault(first, set()).add(channel)
            port.sustained.get(first, set()).discard(channel)
            self._send(port, "/mgrt/melody/note_on", first, last)
        elif kind in (0x80, 0x90):
            self._note_off(port, channel, first)
        elif kind == 0xB0 and first in (_ALL_SOUND_OFF, _ALL_NOTES_OFF):
            self._release(port)
        elif kind == 0xB0:
            # First what it means: it may be learned by this very movement.
            self._controller(port, first, last)
            if first == _SUSTAIN and _SUSTAIN not in self._controllers.bindings:
                self._pedal(port, channel, is_down=last >= _PEDAL_DOWN)

    def _pedal(self, port: _Port, channel: int, *, is_down: bool) -> None:
        if is_down:
            port.pedals.add(channel)
            return
        port.pedals.discard(channel)
        waiting = [pitch for pitch, channels in port.sustained.items() if channel in channels]
        for pitch in waiting:
            port.sustained[pitch].discard(channel)
            self._note_off(port, channel, pitch)

    def _lift_pedals(self) -> None:
        """Those that are down will not be heard to go up: the controller is another one now."""
        for port in self._ports.values():
            for channel in tuple(port.pedals):
                self._pedal(port, channel, is_down=False)

    def _note_off(self, port: _Port, channel: int, pitch: int) -> None:
        if channel in port.pedals:
            port.sustained.setdefault(pitch, set()).add(channel)
            return
        channels = port.held.get(pitch, set())
        channels.discard(channel)
        # Two keyboards' halves, or a layered patch, may hold one pitch on two channels.
        if not channels:
            port.held.pop(pitch, None)
            self._send(port, "/mgrt/melody/note_off", pitch)

    def _controller(self, port: _Port, controller: int, value: int) -> None:
        learned = self._controllers.move(controller, value)
        if learned is not None:
            if controller == _SUSTAIN:
                self._lift_pedals()
            _log.info(
                'controller %d moves %s; to keep it: [midi.cc] %d = "%s"',
                controller,
                learned,
                controller,
                learned,
            )
        if not self._has_gathered:
            self._has_gathered = True
            self._loop.call_later(GATHER_SECONDS, self._send_gathered, port)

    def _send_gathered(self, port: _Port) -> None:
        self._has_gathered = False
        for command in self._controllers.take():
            self._send(port, *command)

    def _release(self, port: _Port) -> None:
        port.held.clear()
        port.pedals.clear()
        port.sustained.clear()
        self._sink.release(port.client_name)

    def _send(self, port: _Port, address: str, *args: Any) -> None:
        self._sink.local(address, *args, client_name=port.client_name)

    def _from_thread(self, name: str, data: Sequence[int]) -> None:
        """[any] Hand a message to the event loop, unless it has stopped taking them."""
        if data and data[0] in CLOCK_MESSAGES:
            if self._feed is not None:
                self._feed.put(name, data, time.monotonic_ns())
            return
        if self._waiting >= MAX_WAITING:
            self.dropped += 1
            self._drowned.add(name)
            return
        self._waiting += 1
        self._call(self._take, name, tuple(data))

    def _take(self, name: str, data: Sequence[int]) -> None:
        self._waiting -= 1
        self.handle(name, data)
        while self._drowned and not self._waiting:
            port = self._ports.get(self._drowned.pop())
            if port is not None:
                self._release(port)

    def _opened(self, name: str) -> None:
        self._call(self._add, name)

    def _lost(self, name: str) -> None:
        self._call(self._remove, name)

    def _trouble(self, text: str) -> None:
        self._call(_log.info, "%s", text)

    def _add(self, name: str) -> None:
        self._ports[name] = _Port(client_name=f"midi:{name}")
        _log.info("listening to %s", name)

    def _remove(self, name: str) -> None:
        port = self._ports.pop(name, None)
        if port is not None:
            self._release(port)
            _log.warning("%s has gone: its notes are let go; it is looked for", name)

    def _call(self, function: Callable[..., None], *args: Any) -> None:
        """[any] Call on the event loop; the loop may have ended already."""
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            self._waiting = 0
