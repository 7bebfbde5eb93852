"""MIDI devices that a test plugs in and pulls out, and a MidiIn that listens to them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from bridge.midi_backend import MidiBackend, MidiError, MidiSource, OnBytes
from bridge.midi_controllers import Controllers
from bridge.midi_in import MidiIn
from bridge.setting import CcBinding
from bridge.settings import MidiConfig

RESCAN_SECONDS: Final = 0.2
NOTE_ON, NOTE_OFF, CONTROL, ACTIVE_SENSING = 0x90, 0x80, 0xB0, 0xFE


class Plugs:
    """A system whose devices a test plugs in and pulls out. Any thread."""

    def __init__(self, *names: str) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[str, OnBytes | None] = dict.fromkeys(names)
        self.broken: set[str] = set()
        self.is_down = False

    def plug(self, name: str) -> None:
        with self._lock:
            self._listeners[name] = None

    def pull(self, name: str) -> None:
        with self._lock:
            del self._listeners[name]

    def play(self, name: str, *data: int) -> None:
        with self._lock:
            listener = self._listeners[name]
        assert listener is not None, f"nobody listens to {name}"
        listener(data)

    def is_open(self, name: str) -> bool:
        with self._lock:
            return self._listeners.get(name) is not None

    def names(self) -> list[str]:
        with self._lock:
            if self.is_down:
                raise MidiError("the system's MIDI cannot be reached (gone)")
            return [name for name in self._listeners if name != "musicgen-rt"]

    def open(self, name: str, on_bytes: OnBytes) -> MidiSource:
        with self._lock:
            if name in self.broken:
                raise MidiError(f"{name}: cannot be opened (busy)")
            self._listeners[name] = on_bytes
        return Plug(self, name)

    def open_virtual(self, name: str, on_bytes: OnBytes) -> MidiSource:
        return self.open(name, on_bytes)

    def close(self) -> None:
        """Nothing is held."""

    def unlisten(self, name: str) -> None:
        with self._lock:
            if name in self._listeners:
                self._listeners[name] = None


class Plug:
    def __init__(self, plugs: Plugs, name: str) -> None:
        self._plugs, self._name = plugs, name

    def close(self) -> None:
        self._plugs.unlisten(self._name)


class Sink:
    """Records the commands."""

    def __init__(self) -> None:
        self.commands: list[tuple[Any, ...]] = []
        self.released: list[str] = []
        self.changed = asyncio.Event()

    def local(self, address: str, *args: Any, client_name: str) -> None:
        self.commands.append((address.removeprefix("/mgrt/"), *args))
        self.changed.set()

    def release(self, client_name: str) -> None:
        self.released.append(client_name)
        self.changed.set()


class Rig:
    """A MidiIn with its devices, its commands and its clock."""

    def __init__(self, plugs: MidiBackend, **settings: Any) -> None:
        self.plugs = plugs
        self.sink = Sink()
        self.now = 0.0
        bindings: Sequence[CcBinding] = settings.get("cc", ())
        self.midi = MidiIn(
            MidiConfig(**{"rescan_seconds": RESCAN_SECONDS, **settings}),
            self.sink,
            Controllers.configured(bindings),
            make_backend=lambda: plugs,
            clock=lambda: self.now,
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.005)

    async def opened(self, *names: str) -> None:
        await self.until(lambda: set(names) <= set(self.midi.port_names()))


def play(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 100))
