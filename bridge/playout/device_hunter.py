"""The hunter: opens the device in a thread of its own, and looks for it until it is there.

Asking the drivers can take long, and for ever where a sound server hangs; so it happens beside the
music, which goes on into the null output. PortAudio sees new devices only when it starts anew,
which is safe only while no stream is open.
"""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass

from bridge.playout.device import DeviceOutput
from bridge.playout.device_list import DeviceWish, choose, list_devices, portaudio
from bridge.playout.output import DeviceError
from bridge.playout.portaudio_turn import PORTAUDIO_TURN

LOOK_SECONDS = 0.25


@dataclass(frozen=True)
class Found:
    """An open device, not begun, and the request that asked for it."""

    output: DeviceOutput
    id: int | None


@dataclass(frozen=True)
class Missing:
    """Why there is none; `is_hunted` says that the search goes on."""

    reason: str
    id: int | None
    is_hunted: bool


class DeviceHunter:
    """One search. `results` may be read from any thread.

    With `is_persistent` it goes on until a device is open or `stop` is called, and reports a
    reason once; no stream may be open meanwhile. Without, it looks once among what is known.
    """

    def __init__(self, wish: DeviceWish, *, is_persistent: bool, id: int | None = None) -> None:
        self.wish = wish
        self.results: queue.SimpleQueue[Found | Missing] = queue.SimpleQueue()
        self._is_persistent = is_persistent
        self._id = id
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="device-hunter", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Give up the search. [any]"""
        self._stopped.set()

    def _run(self) -> None:
        """[device-hunter]"""
        last_reason = None
        while not self._stopped.is_set():
            try:
                with PORTAUDIO_TURN.taken():
                    output = DeviceOutput(choose(list_devices(), self.wish), self.wish)
            except DeviceError as error:
                if str(error) != last_reason:
                    last_reason = str(error)
                    self.results.put(Missing(last_reason, self._id, self._is_persistent))
                    self._id = None
            else:
                self._hand_over(output)
                return
            if not self._is_persistent or self._stopped.wait(LOOK_SECONDS):
                return
            _look_anew()

    def _hand_over(self, output: DeviceOutput) -> None:
        if self._stopped.is_set():
            output.close()
        else:
            self.results.put(Found(output, self._id))


def _look_anew() -> None:
    """Let PortAudio ask the drivers again; the only way is to end and begin it."""
    try:
        with PORTAUDIO_TURN.taken(is_without_streams=True):
            sounddevice = portaudio()
            sounddevice._terminate()
            sounddevice._initialize()
    # The next look says what is wrong.
    except Exception:
        return
