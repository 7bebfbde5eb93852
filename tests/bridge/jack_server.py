"""A JACK server with the dummy driver, of a name of its own."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from tests.programs import requires_program

RATE_HZ = 48_000
PERIOD_FRAMES = 512
_START_SECONDS = 30
# How long a client may be late before the server throws it out.
_CLIENT_MS = 5000


@contextmanager
def jack_server(name: str | None = None) -> Iterator[str]:
    """Run a server; its name, for JACK_DEFAULT_SERVER."""
    name = name or f"mgrt{uuid.uuid4().hex[:8]}"
    command = [
        requires_program("jackd"),
        "-r",
        "-t",
        str(_CLIENT_MS),
        "--no-mlock",
        "-n",
        name,
        "-d",
        "dummy",
    ]
    command += ["-r", str(RATE_HZ), "-p", str(PERIOD_FRAMES)]
    server = subprocess.Popen(
        command,
        env={**os.environ, "JACK_NO_AUDIO_RESERVATION": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait = [requires_program("jack_wait"), "-s", name, "-w", "-t", str(_START_SECONDS)]
        subprocess.run(wait, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        yield name
    finally:
        server.terminate()
        server.wait()
