"""A JACK MIDI keyboard in a process of its own: `python -m tests.bridge.jack_keyboard SERVER`.

Its own, since python-rtmidi keeps the interpreter's lock while it asks the sound server, and a
client of the same process could not answer. Lines on its input are MIDI messages ("144 60 100") or
"connect PORT"; the end of the input pulls it out.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Keyboard:
    """The test's end of it."""

    def __init__(self, server: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bridge.jack_keyboard", server],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "plugged in\n"

    def connect(self, port: str) -> None:
        """Connect its output to an input."""
        self._write(f"connect {port}")

    def play(self, *data: int) -> None:
        """Send a message."""
        self._write(" ".join(map(str, data)))

    def unplug(self) -> None:
        """End it."""
        self._process.communicate()

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()


def main() -> None:
    # Here, since the import fails where there is no JACK library.
    import jack

    client = jack.Client("keys", no_start_server=True, servername=sys.argv[1])
    port = client.midi_outports.register("out")
    queue: list[bytes] = []

    def process(frames: int) -> None:
        port.clear_buffer()
        while queue:
            port.write_midi_event(0, queue.pop(0))

    client.set_process_callback(process)
    client.activate()
    print("plugged in", flush=True)
    for line in sys.stdin:
        first, *rest = line.split()
        if first == "connect":
            client.connect(port, rest[0])
        else:
            queue.append(bytes([int(first), *map(int, rest)]))
    client.deactivate()
    client.close()


if __name__ == "__main__":
    main()
