"""An engine of marks: a child process of the daemon in the engine's place, for measuring.

What is measured is then how exactly the daemon keeps to a host, at once and on any machine.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from queue import Empty, SimpleQueue
from typing import Any, Final

from musicgen_rt.contract.buffer import TimelineBuffer
from musicgen_rt.contract.pipe import Pipe
from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.evaluate.sync_music import MarkMusic

_TURN_SECONDS: Final = 0.005
_HEARTBEAT_SECONDS: Final = 0.1


class SyncEngine:
    """One life of it. Main thread; another one reads the pipe."""

    def __init__(self, pipe: Pipe, buffer: TimelineBuffer) -> None:
        self._pipe = pipe
        self._buffer = buffer
        self._inbox: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def run(self) -> None:
        """Play until told to leave."""
        start = self._inbox.get()
        if start is None or start["type"] == "quit":
            return
        lead_seconds = start["lead"]["lead_ms"] / 1000
        music = MarkMusic(self._buffer, Timeline.from_json(start["timeline"]), lead_seconds)
        music.begin(is_resume=bool(start["is_resume"]))
        self._pipe.send(self._ready(start, music.hop_samples))
        beat_at = time.monotonic()
        while self._take_messages(music):
            music.fill()
            if time.monotonic() >= beat_at:
                beat_at = time.monotonic() + _HEARTBEAT_SECONDS
                frame = self._buffer.snapshot().written_end // music.hop_samples
                message = {"type": "heartbeat", "next_frame": frame}
                self._pipe.send({**message, "steps_per_second": 0.0, "rolls": 0})
            time.sleep(_TURN_SECONDS)

    def _take_messages(self, music: MarkMusic) -> bool:
        """Do what has come; False when it is time to leave."""
        while True:
            try:
                message = self._inbox.get_nowait()
            except Empty:
                return True
            if message is None or message["type"] == "quit":
                return False
            answer = music.take(message)
            if answer is not None:
                self._pipe.send(answer)

    def _ready(self, start: dict[str, Any], hop_samples: int) -> dict[str, Any]:
        return {
            "type": "ready",
            "model": start["model"],
            "sampling_rate_hz": self._buffer.rate_hz,
            "hop_samples": hop_samples,
            "channels": self._buffer.channels,
            "attributes": [],
            "has_clock": True,
            "has_chroma": False,
            "has_melody": False,
            "load_seconds": 0.0,
            "is_resumed": bool(start["is_resume"]),
        }

    def _read(self) -> None:
        """[pipe]"""
        for message, _ in self._pipe.receive():
            self._inbox.put(message)
        self._inbox.put(None)


def main() -> int:
    """Run with inherited descriptors; the exit code."""
    parser = argparse.ArgumentParser(prog="musicgen_rt.evaluate.sync_engine")
    parser.add_argument("--pipe-fd", type=int, required=True)
    parser.add_argument("--buffer-fd", type=int, required=True)
    args = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    SyncEngine(Pipe.inherited(args.pipe_fd), TimelineBuffer.attach(args.buffer_fd)).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
