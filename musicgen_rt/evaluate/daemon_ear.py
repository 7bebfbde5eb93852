"""What a daemon publishes, as a subscriber hears it: its PCM block by block, and its events."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import zmq
from numpy.typing import NDArray

_PCM = b"pcm"
_POLL_MS = 100


class DaemonEar(threading.Thread):
    """Subscribes until closed; what comes is given to `take_block` and `take_event`.

    A thread of its own, in which those two are called; `close` from any other.
    """

    def __init__(self, port: int, events: Sequence[str] = ()) -> None:
        """`events` are the addresses that are wanted besides the PCM."""
        super().__init__(name="daemon ear", daemon=True)
        self._port, self._topics = port, [_PCM, *(address.encode() for address in events)]
        self._is_closed = threading.Event()

    def take_block(self, header: Mapping[str, Any], samples: NDArray[np.float32]) -> None:
        """A block of PCM [N, C] with its header."""
        raise NotImplementedError

    def take_event(self, address: str, args: Sequence[Any]) -> None:
        """An event that was asked for."""

    def run(self) -> None:
        with zmq.Context() as context, context.socket(zmq.SUB) as subscriber:
            subscriber.setsockopt(zmq.LINGER, 0)
            # Who is late is to hear all of it late: a block that is missing is the daemon's fault.
            subscriber.setsockopt(zmq.RCVHWM, 0)
            for topic in self._topics:
                subscriber.setsockopt(zmq.SUBSCRIBE, topic)
            subscriber.connect(f"tcp://127.0.0.1:{self._port}")
            while not self._is_closed.is_set():
                if not subscriber.poll(_POLL_MS):
                    continue
                topic, head, *payload = subscriber.recv_multipart()
                if topic == _PCM:
                    header = json.loads(head)
                    samples = np.frombuffer(payload[0], np.float32)
                    self.take_block(header, samples.reshape(-1, int(header["channels"])))
                else:
                    address, *args = json.loads(payload[0])
                    self.take_event(address, args)

    def close(self) -> None:
        """Stop listening."""
        self._is_closed.set()
        self.join()
