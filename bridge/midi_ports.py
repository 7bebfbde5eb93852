"""Which MIDI inputs are open: looked after by a thread, since systems take their time to answer."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bridge.midi_backend import MidiBackend, MidiSource
from musicgen_rt.errors import MusicgenRTError

# How long the end of the daemon waits for a system call that hangs.
_END_SECONDS = 0.2


@dataclass(frozen=True)
class PortEvents:
    """What the owner is told, from the thread of the ports or one of the system's: [any]."""

    bytes_came: Callable[[str, Sequence[int]], None]
    opened: Callable[[str], None]
    lost: Callable[[str], None]
    trouble: Callable[[str], None]


class MidiPorts:
    """Opens the wanted inputs as they come and notices when they go.

    `wanted` are names or parts of names, "*" is all. The backend is made and used in the thread
    alone, so neither its import nor a system that hangs holds anybody up.
    """

    def __init__(
        self,
        make_backend: Callable[[], MidiBackend],
        events: PortEvents,
        *,
        wanted: Iterable[str],
        virtual_port: str,
        rescan_seconds: float,
    ) -> None:
        self._make_backend = make_backend
        self._events = events
        self._wanted = tuple(name.lower() for name in wanted)
        self._virtual_port = virtual_port
        self._rescan_seconds = rescan_seconds
        self._virtual: MidiSource | None = None
        self._open: dict[str, MidiSource] = {}
        self._refused: set[str] = set()
        self._trouble = ""
        self._is_ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="midi-ports", daemon=True)

    def start(self) -> None:
        """Look for inputs from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Close them. Waits only for a moment: a system call that hangs is left behind."""
        self._is_ended.set()
        if self._thread.is_alive():
            self._thread.join(_END_SECONDS)

    def _run(self) -> None:
        try:
            backend = self._make_backend()
        except (MusicgenRTError, ImportError) as error:
            self._events.trouble(str(error))
            return
        while not self._is_ended.is_set():
            try:
                if self._virtual is None and self._virtual_port:
                    self._virtual = self._open_virtual(backend)
                self._scan(backend)
                self._trouble = ""
            except MusicgenRTError as error:
                self._tell_trouble(str(error))
            self._is_ended.wait(self._rescan_seconds)
        for source in (self._virtual, *self._open.values()):
            _close(source)
        backend.close()

    def _open_virtual(self, backend: MidiBackend) -> MidiSource:
        name = self._virtual_port
        source = backend.open_virtual(name, lambda data: self._events.bytes_came(name, data))
        self._events.opened(name)
        return source

    def _scan(self, backend: MidiBackend) -> None:
        names = [name for name in backend.names() if self._is_wanted(name)]
        for name in [name for name in self._open if name not in names]:
            self._lose(name)
        self._refused.intersection_update(names)
        for name in names:
            if name not in self._open and name not in self._refused:
                self._try(backend, name)

    def _try(self, backend: MidiBackend, name: str) -> None:
        try:
            source = backend.open(name, lambda data: self._events.bytes_came(name, data))
        except MusicgenRTError as error:  # another program holds it, say
            self._refused.add(name)
            self._events.trouble(str(error))
            return
        self._open[name] = source
        self._events.opened(name)

    def _lose(self, name: str) -> None:
        source = self._open.pop(name)
        self._events.lost(name)
        _close(source)

    def _is_wanted(self, name: str) -> bool:
        # With JACK our own virtual port is no source, but with others it may be listed as one.
        if self._virtual_port and self._virtual_port.lower() in name.lower():
            return False
        return any(part == "*" or part in name.lower() for part in self._wanted)

    def _tell_trouble(self, text: str) -> None:
        """The system's MIDI has gone: say so once, and that the devices have gone with it."""
        for name in list(self._open):
            self._lose(name)
        if self._virtual is not None:  # it went with the system, and is made again
            self._events.lost(self._virtual_port)
            _close(self._virtual)
            self._virtual = None
        if text != self._trouble:
            self._trouble = text
            self._events.trouble(text)


def _close(source: MidiSource | None) -> None:
    # What is left of a device that has gone may fail in any way.
    if source is not None:
        with contextlib.suppress(Exception):
            source.close()
