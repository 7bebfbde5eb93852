"""Where the device's samples also go: to a file, and as PCM to control."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bridge.playout.recorder import Recording, RecordingEnded
from musicgen_rt.errors import AudioFileError

_CLOSE_SECONDS = 1.0


class Sinks:
    """The recording and the PCM stream; neither ever makes the pump wait. [pump]"""

    def __init__(self, post: Callable[..., bool], sends_pcm: bool) -> None:
        self._post = post
        self.sends_pcm = sends_pcm
        self.pcm_dropped = 0
        self._rate_hz = 0
        self._channels = 0
        self._sequence = 0
        self._recording: Recording | None = None
        # Told to stop, but not yet closed.
        self._ending: list[Recording] = []
        self._note: str | None = None

    def set_format(self, rate_hz: int, channels: int) -> None:
        """Take blocks of another rate or width from now on; a recording ends with that."""
        recording = self._recording
        if recording and (recording.rate_hz, recording.channels) != (rate_hz, channels):
            self._note = f"the output changed to {rate_hz} Hz and {channels} channels"
            self._end()
        self._rate_hz = rate_hz
        self._channels = channels

    def record(self, path: Path | None) -> None:
        """Record to a new file, or stop. Raises AudioFileError; what was recording goes on."""
        if path is None:
            self._end()
            return
        if self._recording is not None:
            raise AudioFileError(f"{self._recording.path.name} is being recorded: stop it first")
        self._recording = Recording(path, self._rate_hz, self._channels)
        self._post(
            {"type": "recording", "path": str(path), "is_on": True, "samples": 0, "error": None}
        )

    def write(self, block: NDArray[np.float32], first_sample: float, is_playing: bool) -> None:
        """Pass on a block [N, C] whose first sample is `first_sample` of the session."""
        if len(block) == 0:
            return
        if self._recording is not None:
            self._recording.write(block)
        if self.sends_pcm:
            self._send(block, first_sample, is_playing)

    def tell(self) -> None:
        """Report recordings that have ended, asked for or not."""
        if self._recording is not None and self._recording.ended is not None:
            self._end()
        for recording in [one for one in self._ending if one.ended is not None]:
            self._ending.remove(recording)
            if recording.ended is not None:
                self._report(recording.ended)

    def close(self) -> None:
        """End the recording and wait for its file, but not for ever."""
        self._end()
        for recording in self._ending:
            recording.wait(_CLOSE_SECONDS)
        self.tell()

    def _end(self) -> None:
        if self._recording is not None:
            self._recording.stop()
            self._ending.append(self._recording)
            self._recording = None

    def _report(self, ended: RecordingEnded) -> None:
        self._post(
            {
                "type": "recording",
                "path": ended.path,
                "is_on": False,
                "samples": ended.samples,
                "missing_samples": ended.missing_samples,
                "error": ended.error or self._note,
            }
        )
        self._note = None

    def _send(self, block: NDArray[np.float32], first_sample: float, is_playing: bool) -> None:
        message = {
            "type": "pcm",
            "seq": self._sequence,
            "sample": first_sample,
            "is_playing": is_playing,
            "rate_hz": self._rate_hz,
            "channels": self._channels,
        }
        self._sequence += 1
        payload = np.ascontiguousarray(block, np.float32).tobytes()
        if not self._post(message, payload, is_missable=True):
            self.pcm_dropped += 1
