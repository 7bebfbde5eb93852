"""A JACK client of two inputs that writes what it hears to its standard output.

A program of its own: libjack ends its threads by force, and one that is in Python then keeps the
interpreter's lock for ever. So this one is never closed, only killed.

Run as `python -m musicgen_rt.evaluate.jack_ear SERVER`. Each period is a header - the frame number,
the frames n, the server's estimate of the frame now, the xruns told so far (uint32 each) and the
monotonic clock at that moment (float64) - and 2 * n float32.
"""

from __future__ import annotations

import contextlib
import struct
import sys
import threading
import time
from collections import deque

import jack
import numpy as np

HEADER = struct.Struct("<IIIId")
# The name of every client that PortAudio makes.
SOURCE = "PortAudio"

_LOOK_SECONDS = 0.005


def main(server: str) -> None:
    """Record until killed, or until the server has gone."""
    client = jack.Client("recorder", servername=server, no_start_server=True)
    ports = [client.inports.register(f"in_{n}") for n in (1, 2)]
    blocks: deque[tuple[int, bytes]] = deque()
    xruns: list[float] = []
    is_ended = threading.Event()

    def process(frames: int) -> None:
        del frames
        samples = np.stack([port.get_array() for port in ports])
        blocks.append((client.last_frame_time, samples.tobytes()))

    client.set_process_callback(process)
    client.set_xrun_callback(xruns.append)
    client.set_shutdown_callback(lambda *_: is_ended.set())
    client.activate()
    out = sys.stdout.buffer
    while not is_ended.wait(_LOOK_SECONDS):
        _connect(client, ports)
        while blocks:
            frame, samples = blocks.popleft()
            now = client.frame_time
            header = (frame, len(samples) // 8, now, len(xruns), time.monotonic())
            out.write(HEADER.pack(*header) + samples)
        out.flush()


def _connect(client: jack.Client, ports: list[jack.OwnPort]) -> None:
    """Listen to the player as soon as it is there, and again when it comes back."""
    if all(port.connections for port in ports):
        return
    sources = client.get_ports(f"^{SOURCE}.*", is_audio=True, is_output=True)
    for source, port in zip(sources, ports, strict=False):
        if not port.connections:
            with contextlib.suppress(jack.JackError):  # it has just gone; another look will tell
                client.connect(source, port)


if __name__ == "__main__":
    main(sys.argv[1])
