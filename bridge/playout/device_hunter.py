"""The hunter: opens the device in a thread of its own, and looks for it until it is there.

Asking the drivers can take long, and for ever where a sound server hangs; so it happens beside the
music, which goes on into the null output or the device that plays. PortAudio sees new devices only
when it starts anew, which is safe only while no stream is open.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from dataclasses import dataclass

from bridge.playout.device import DeviceOutput
from bridge.playout.device_list import DeviceWish, choose, list_devices, portaudio
from bridge.playout.device_query import fresh_devices
from bridge.playout.output import DeviceError, DeviceRefusedError
from bridge.playout.portaudio_turn import PORTAUDIO_TURN

LOOK_SECONDS = 0.25

_MAX_DOUBLINGS = 5


@dataclass(frozen=True)
class Found:
    """An open device that runs, not begun."""

    output: DeviceOutput


@dataclass(frozen=True)
class Missing:
    """Why there is none; `is_refused`: it is there, but will not play."""

    reason: str
    is_refused: bool = False


@dataclass(frozen=True)
class Unseen:
    """It is there, but PortAudio must look anew to know it, and a stream is open."""


class DeviceHunter:
    """One search. `results` may be read from any thread.

    Without `id` it is a hunt: it goes on until a device runs or `stop` is called, and reports each
    new reason once; no stream may be open meanwhile. For the request `id` it ends with one result:
    it looks among the devices that are known, and then, once, at those that there are now.
    """

    def __init__(
        self, wish: DeviceWish, *, id: int | None = None, is_stream_open: bool = False
    ) -> None:
        self.wish = wish
        self.id = id
        self.results: queue.SimpleQueue[Found | Missing | Unseen] = queue.SimpleQueue()
        self._is_stream_open = is_stream_open
        self._stopped = threading.Event()
        self._reporting = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="device-hunter", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Give up the search, and close what it has found. [any]"""
        with self._reporting:
            self._stopped.set()
        with contextlib.suppress(queue.Empty):
            while True:
                _drop(self.results.get_nowait())

    def _run(self) -> None:
        """[device-hunter]"""
        if self.id is None:
            self._hunt()
        else:
            self._report(self._search())

    def _hunt(self) -> None:
        last_reason, refusals = None, 0
        while not self._stopped.is_set():
            result = self._look()
            if isinstance(result, Found):
                self._report(result)
                return
            if result.reason != last_reason:
                last_reason = result.reason
                self._report(result)
            refusals = refusals + 1 if result.is_refused else 0
            if self._pause(pause_seconds(refusals)):
                return
            _look_anew()

    def _search(self) -> Found | Missing | Unseen:
        result = self._look()
        if isinstance(result, Found):
            return result
        if not self._is_stream_open:
            _look_anew()
            return self._look()
        return result if result.is_refused else self._ask()

    def _look(self) -> Found | Missing:
        """Look among the devices that are known."""
        try:
            with PORTAUDIO_TURN.taken():
                return Found(DeviceOutput(choose(list_devices(), self.wish), self.wish))
        except DeviceError as error:
            return Missing(str(error), isinstance(error, DeviceRefusedError))

    def _ask(self) -> Missing | Unseen:
        """Look among the devices that there are now, without touching the stream that plays."""
        try:
            choose(fresh_devices(), self.wish)
        except DeviceError as error:
            return Missing(str(error))
        return Unseen()

    def _pause(self, seconds: float) -> bool:
        """Wait until the next look; whether there shall be none."""
        return self._stopped.wait(seconds)

    def _report(self, result: Found | Missing | Unseen) -> None:
        with self._reporting:
            if not self._stopped.is_set():
                self.results.put(result)
                return
        _drop(result)


def pause_seconds(refusals: int) -> float:
    """How long a hunt waits for the next look, after so many refusals of the device in a row.

    One that is there but will not play is opened and closed by every look, so they become rare;
    one that is not there is to play as soon as it is plugged in.
    """
    return float(LOOK_SECONDS * 2 ** min(refusals, _MAX_DOUBLINGS))


def _drop(result: Found | Missing | Unseen) -> None:
    if isinstance(result, Found):
        result.output.close()


def _look_anew() -> None:
    """Let PortAudio ask the drivers again; the only way is to end and begin it.

    The next look says what is wrong. One that did not begin cannot be ended, but may begin now.
    """
    with contextlib.suppress(DeviceError), PORTAUDIO_TURN.taken(is_without_streams=True):
        sounddevice = portaudio()
        with contextlib.suppress(Exception):
            sounddevice._terminate()
        with contextlib.suppress(Exception):
            sounddevice._initialize()
