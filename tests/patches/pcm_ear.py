"""What a daemon plays, from its PCM stream, found again by beats."""

from __future__ import annotations

import json
import threading
import time
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import numpy as np
import zmq
from numpy.typing import NDArray

DEADLINE_SECONDS: Final = 120.0
_TURN_MS: Final = 100


class Block(NamedTuple):
    """Some samples [N, C] and the session's beat of the first."""

    beat: float
    samples: NDArray[np.float32]


class PcmEar:
    """Listens in a thread of its own from `with` on; the tempo must stay.

    `lost` counts the blocks of music that were dropped because somebody was too slow.
    """

    def __init__(self, publish_port: int) -> None:
        self.lost = 0
        self._port = publish_port
        self._blocks: list[Block] = []
        self._about: dict[str, Any] = {}
        self._more = threading.Condition()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._thread.join()

    @property
    def beat_samples(self) -> float:
        """How many samples a beat has."""
        return float(self._about["rate_hz"] * 60 / self._about["bpm"])

    @property
    def rate_hz(self) -> int:
        return int(self._about["rate_hz"])

    def until(self, beat: float) -> None:
        """Wait until this beat has been heard."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        with self._more:
            while not self._blocks or self._blocks[-1].beat < beat:
                left = deadline - time.monotonic()
                assert left > 0, f"beat {beat} was not heard: {self._blocks[-1:]}"
                self._more.wait(left)

    def between(self, first_beat: float, end_beat: float) -> NDArray[np.float32]:
        """The samples [N] of the first channel between two beats that have been heard."""
        out = np.zeros(round((end_beat - first_beat) * self.beat_samples), np.float32)
        for beat, samples in self._blocks:
            at = round((beat - first_beat) * self.beat_samples)
            begin, end = max(0, at), min(len(out), at + len(samples))
            if begin < end:
                out[begin:end] = samples[begin - at : end - at, 0]
        return out

    def _listen(self) -> None:
        events: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
        events.linger = 0
        events.rcvhwm = 0
        events.subscribe(b"pcm")
        events.connect(f"tcp://127.0.0.1:{self._port}")
        expected, was_playing = 0, False
        while not self._is_over.is_set():
            if not events.poll(_TURN_MS):
                continue
            _, header, payload = events.recv_multipart()
            about = json.loads(header)
            if was_playing or about["is_playing"]:
                self.lost += about["sequence"] - expected if expected else 0
            expected, was_playing = about["sequence"] + 1, about["is_playing"]
            if about["is_playing"]:
                samples = np.frombuffer(payload, np.float32).reshape(-1, about["channels"])
                with self._more:
                    self._about = about
                    self._blocks.append(Block(about["beat"], samples))
                    self._more.notify_all()
        events.close()
