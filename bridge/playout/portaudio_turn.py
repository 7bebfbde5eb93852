"""PortAudio for one thread at a time: it is made for no more, and a driver can hang in it for ever.

So whoever opens, closes or looks anew waits for its turn, in a thread of its own and never on the
pump. PortAudio sees new devices only when it ends and begins anew, which would end any stream under
way: that turn comes only while no stream is open, one that is being closed included.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from bridge.playout.output import DeviceError

# A driver takes less, unless it hangs.
TURN_SECONDS = 3.0


class PortAudioTurn:
    """Whose turn it is, and how many streams are open. [any but pump]"""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._is_taken = False
        self._open_streams = 0

    @contextlib.contextmanager
    def taken(
        self, seconds: float | None = TURN_SECONDS, *, is_without_streams: bool = False
    ) -> Iterator[None]:
        """Wait for one's turn and have it. Raises DeviceError if it does not come in `seconds`."""

        def is_free() -> bool:
            return not self._is_taken and not (is_without_streams and self._open_streams)

        with self._changed:
            if not self._changed.wait_for(is_free, seconds):
                raise DeviceError("the audio drivers do not answer")
            self._is_taken = True
        try:
            yield
        finally:
            with self._changed:
                self._is_taken = False
                self._changed.notify_all()

    def add_stream(self) -> None:
        """A stream was opened. [any]"""
        with self._changed:
            self._open_streams += 1

    def remove_stream(self) -> None:
        """A stream is closed. [any]"""
        with self._changed:
            self._open_streams -= 1
            self._changed.notify_all()

    def wait_until_closed(self, seconds: float) -> None:
        """Wait until no stream is open, but not for ever; for a process that ends. [any]"""
        with self._changed:
            self._changed.wait_for(lambda: not self._open_streams, seconds)


# PortAudio is one for the whole process.
PORTAUDIO_TURN = PortAudioTurn()
