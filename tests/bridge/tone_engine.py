"""An engine that plays a steady tone: a child process for tests of everything around the engine.

It starts at once, needs no torch, writes as the buffer's rules demand and answers each command, so
that what a listener hears of a fault is the daemon's own doing. The tone is a function of the
session sample: 220 Hz fit whole into a bar of 2 s, and a loop of bars is as smooth as the tone.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from queue import Empty, SimpleQueue
from typing import Any, Final

import numpy as np

from musicgen_rt.contract.buffer import BehindCommitError, TimelineBuffer
from musicgen_rt.contract.pipe import Pipe
from musicgen_rt.contract.timeline import Timeline

TONE_HZ: Final = 220.0
AMPLITUDE: Final = 0.25
# The tone's own steps at 48 kHz are 2 pi f A / rate = 0.0072; a click is much more.
CLICK: Final = 0.03

_TURN_SECONDS: Final = 0.01
_HEARTBEAT_SECONDS: Final = 0.1
_CHUNK_FRAMES: Final = 10
# Between the moment of a decision and the first sample: more than the device can take meanwhile.
_MARGIN_FRAMES: Final = 15


class ToneEngine:
    """One life of it. Main thread."""

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
        self._timeline = Timeline.from_json(start["timeline"])
        self._hop = round(self._buffer.rate_hz / self._timeline.frame_rate_hz)
        self._lead_frames = round(start["lead"]["lead_ms"] / 1000 * self._timeline.frame_rate_hz)
        self._begin(is_resume=bool(start["is_resume"]))
        self._pipe.send(self._ready(start))
        next_heartbeat = time.monotonic()
        while self._take_messages():
            self._fill()
            if time.monotonic() >= next_heartbeat:
                next_heartbeat = time.monotonic() + _HEARTBEAT_SECONDS
                end = self._buffer.snapshot().written_end
                self._pipe.send(
                    {
                        "type": "heartbeat",
                        "next_frame": end // self._hop,
                        "steps_per_second": 100.0,
                        "rolls": 0,
                    }
                )
            time.sleep(_TURN_SECONDS)

    def _begin(self, *, is_resume: bool) -> None:
        first = 0
        if is_resume:
            commit_frame = -(-self._buffer.snapshot().commit_sample // self._hop)
            first = self._timeline.next_bar_start_at_or_after(commit_frame + _MARGIN_FRAMES)
        self._buffer.start_stretch(first * self._hop)
        self._fill()

    def _fill(self) -> None:
        while True:
            now = self._buffer.snapshot()
            if now.written_end >= now.commit_sample + self._lead_frames * self._hop:
                return
            try:
                self._buffer.write(now.written_end, self._tone(now.written_end))
            except BehindCommitError:
                self._begin(is_resume=True)

    def _tone(self, first_sample: int) -> np.ndarray:
        """One chunk [C, N] from `first_sample` on."""
        positions = np.arange(first_sample, first_sample + _CHUNK_FRAMES * self._hop)
        tone = AMPLITUDE * np.sin(2 * np.pi * TONE_HZ / self._buffer.rate_hz * positions)
        return np.tile(tone.astype(np.float32), (self._buffer.channels, 1))

    def _take_messages(self) -> bool:
        """Answer what has come; False when it is time to leave."""
        while True:
            try:
                message = self._inbox.get_nowait()
            except Empty:
                return True
            if message is None or message["type"] == "quit":
                return False
            if message["type"] == "timeline":
                self._timeline = Timeline.from_json(message["timeline"])
            if message["type"] == "command":
                commit_frame = -(-self._buffer.snapshot().commit_sample // self._hop)
                frame = max(commit_frame, message["frame"] or 0)
                self._pipe.send({"type": "applied", "id": message["id"], "frame": frame})

    def _ready(self, start: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "ready",
            "model": start["model"],
            "sampling_rate_hz": self._buffer.rate_hz,
            "hop_samples": self._hop,
            "channels": self._buffer.channels,
            "attributes": ["drums"],
            "has_clock": True,
            "has_chroma": True,
            "has_melody": True,
            "load_seconds": 0.0,
            "is_resumed": bool(start["is_resume"]),
        }

    def _read(self) -> None:
        for message, _ in self._pipe.receive():
            self._inbox.put(message)
        self._inbox.put(None)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pipe-fd", type=int, required=True)
    parser.add_argument("--buffer-fd", type=int, required=True)
    args = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    buffer = TimelineBuffer.attach(args.buffer_fd)
    ToneEngine(Pipe.inherited(args.pipe_fd), buffer).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
