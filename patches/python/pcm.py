"""The daemon's sound as NumPy arrays, over ZeroMQ; here into a file.

    python pcm.py OUT.wav [--seconds 8]

Each block comes with the session's beat of its first sample; a number that is missing from their
sequence is a block that was dropped because we were too slow. A daemon that is started again counts
from the beginning.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import soundfile
import zmq
from numpy.typing import NDArray

SILENCE_MS = 3000


def blocks(endpoint: str) -> Iterator[tuple[dict[str, Any], NDArray[np.float32]]]:
    """Headers and blocks [N, C] for ever; a daemon that is started again is heard again."""
    events: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
    events.linger = 0
    events.subscribe(b"pcm")
    events.connect(endpoint)
    while True:
        if not events.poll(SILENCE_MS):
            print(f"no sound at {endpoint}: start the daemon with musicgen-rt jam", flush=True)
            continue
        _, header, payload = events.recv_multipart()
        about = json.loads(header)
        yield about, np.frombuffer(payload, np.float32).reshape(-1, about["channels"])


def main() -> None:
    parser = argparse.ArgumentParser(description="Record the daemon's sound.")
    parser.add_argument("file", help="such as take.wav or take.flac")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--events", default="tcp://127.0.0.1:9122")
    args = parser.parse_args()
    if not args.seconds > 0:
        sys.exit(f"--seconds {args.seconds:g}: expected more than 0")
    taken: list[NDArray[np.float32]] = []
    expected, lost, samples = None, 0, 0
    for about, block in blocks(args.events):
        if expected is None or about["sequence"] < expected:
            print(f"from beat {about['beat']:.2f} at {about['bpm']:g} BPM", flush=True)
        elif about["sequence"] > expected:
            lost += about["sequence"] - expected
        expected = about["sequence"] + 1
        taken.append(block)
        samples += len(block)
        if samples >= args.seconds * about["rate_hz"]:
            soundfile.write(args.file, np.concatenate(taken), about["rate_hz"])
            break
    print(f"{samples} samples in {args.file}, {lost} blocks lost")


if __name__ == "__main__":
    main()
