"""MIDI ports of the system through python-rtmidi, which mido drives for messages as objects.

Used directly and not through mido's ports: those throw active sensing away, by which a keyboard
that was pulled out is noticed, and queue without a bound.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from musicgen_rt.errors import MusicgenRTError, UnsupportedError

OnBytes = Callable[[Sequence[int]], None]

_ALSA_SEQUENCER = Path("/dev/snd/seq")
_CLIENT_NAME = "musicgen-rt"
_EMPTY_LISTS = 10
_IN_FLIGHT_SECONDS = 0.01


class MidiError(MusicgenRTError):
    """A MIDI port cannot be listed or opened."""


class MidiSource(Protocol):
    """An open input."""

    def close(self) -> None:
        """Listen no more."""


class MidiBackend(Protocol):
    """The inputs that a system has. Used from one thread; `on_bytes` is called from others."""

    def names(self) -> list[str]:
        """The inputs that are there now. Raises MidiError."""

    def open(self, name: str, on_bytes: OnBytes) -> MidiSource:
        """Listen to one of them. Raises MidiError."""

    def open_virtual(self, name: str, on_bytes: OnBytes) -> MidiSource:
        """Make a port that other programs connect to. Raises MidiError."""

    def close(self) -> None:
        """Ask no more."""


class RtMidiBackend:
    """The inputs of one API of python-rtmidi: alsa, jack, coremidi or winmm."""

    def __init__(self, api: str) -> None:
        """Raises UnsupportedError where the API cannot be used."""
        import rtmidi

        self._rtmidi: Any = rtmidi
        self._api = _api_number(rtmidi, api)
        self._lister: Any = None
        self._empty_count = 0

    def names(self) -> list[str]:
        """The inputs that are there now. Raises MidiError."""
        # One client asks again and again: with JACK each new one would reorder the graph. One that
        # finds nothing for long may have lost its server, which it cannot tell.
        if self._empty_count >= _EMPTY_LISTS:
            self.close()
        if self._lister is None:
            self._lister = self._new_input()
            self._empty_count = 0
        names = [str(name) for name in self._lister.get_ports()]
        self._empty_count = 0 if names else self._empty_count + 1
        return names

    def open(self, name: str, on_bytes: OnBytes) -> MidiSource:
        """Listen to an input. Raises MidiError."""
        source = self._new_input()
        try:
            source.open_port(source.get_ports().index(name), _CLIENT_NAME)
        except (ValueError, self._rtmidi.RtMidiError) as error:
            source.delete()
            raise MidiError(f"{name}: cannot be opened ({error})") from error
        return _RtMidiSource(source, on_bytes)

    def open_virtual(self, name: str, on_bytes: OnBytes) -> MidiSource:
        """Make a port of our own. Raises MidiError."""
        source = self._new_input(name)
        try:
            source.open_virtual_port("in")
        except (NotImplementedError, self._rtmidi.RtMidiError) as error:
            source.delete()
            raise MidiError(f"{name}: cannot be made ({error})") from error
        return _RtMidiSource(source, on_bytes)

    def close(self) -> None:
        """Ask no more."""
        if self._lister is not None:
            self._lister.delete()
            self._lister = None

    def _new_input(self, name: str = _CLIENT_NAME) -> Any:
        try:
            return self._rtmidi.MidiIn(self._api, name=name)
        except self._rtmidi.RtMidiError as error:
            raise MidiError(f"the system's MIDI cannot be reached ({error})") from error


class _RtMidiSource:
    def __init__(self, source: Any, on_bytes: OnBytes) -> None:
        self._source = source
        # No system exclusive messages, but MIDI clock and active sensing.
        source.ignore_types(sysex=True, timing=False, active_sense=False)
        source.set_callback(lambda event, _: on_bytes(event[0]))

    def close(self) -> None:
        self._source.cancel_callback()
        # A callback under way waits for the interpreter's lock, which closing the port keeps while
        # it waits for that callback.
        time.sleep(_IN_FLIGHT_SECONDS)
        self._source.close_port()
        self._source.delete()


class RtMidiOutput:
    """An output of python-rtmidi: what is sent leaves at once."""

    def __init__(self, port: Any) -> None:
        self._port = port

    def send(self, status: int) -> None:
        """A message of one byte."""
        self._port.send_message((status,))


def open_output(api: str, name_part: str, client_name: str) -> RtMidiOutput:
    """The output whose name contains `name_part`; for "" a port of our own to connect from.

    Raises UnsupportedError where the API cannot be used, MidiError where there is no such output.
    """
    import rtmidi

    number = _api_number(rtmidi, api)
    try:
        port = rtmidi.MidiOut(number, name=client_name)
        if not name_part:
            port.open_virtual_port("clock_out")
            return RtMidiOutput(port)
        names = [str(name) for name in port.get_ports()]
        for index, name in enumerate(names):
            if name_part.lower() in name.lower():
                port.open_port(index, "clock_out")
                return RtMidiOutput(port)
    except (NotImplementedError, rtmidi.RtMidiError) as error:
        raise MidiError(
            f"no output can be opened ({error}): set midi.clock_port to a part of one's name"
        ) from error
    raise MidiError(
        f"no output has {name_part!r} in its name: there are {', '.join(names) or 'none'}; "
        "set midi.clock_port, or leave it empty for a port of our own"
    )


def _api_number(rtmidi: Any, api: str) -> int:
    """python-rtmidi's number of an API. Raises UnsupportedError where it cannot be used."""
    name = _chosen(api)
    number: int = {
        "alsa": rtmidi.API_LINUX_ALSA,
        "jack": rtmidi.API_UNIX_JACK,
        "coremidi": rtmidi.API_MACOSX_CORE,
        "winmm": rtmidi.API_WINDOWS_MM,
    }[name]
    if number not in rtmidi.get_compiled_api():
        raise UnsupportedError(f"MIDI over {name}: python-rtmidi is built without it")
    if name == "jack":
        # Its library would start a server of its own, with the wrong sound card.
        os.environ.setdefault("JACK_NO_START_SERVER", "1")
    return number


def _chosen(api: str) -> str:
    """The API that "auto" stands for here. Raises UnsupportedError if there is none."""
    if api != "auto":
        return api
    if sys.platform == "darwin":
        return "coremidi"
    if sys.platform == "win32":
        return "winmm"
    if _ALSA_SEQUENCER.exists():
        return "alsa"
    raise UnsupportedError(
        "no MIDI here: the system has no ALSA sequencer (modprobe snd-seq gives one); "
        "with JACK use --midi-api jack"
    )
