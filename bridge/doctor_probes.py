"""How the doctor asks: what is installed, what a port says, what a library finds.

Libraries that can take their process down (PortAudio) or take long to load (torch) are asked in
processes of their own.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

PROBE_SECONDS: Final = 90.0

SOUND_PROBE: Final = """
import json, sounddevice
devices = [d["name"] for d in sounddevice.query_devices() if d["max_output_channels"] > 0]
default = sounddevice.default.device[1]
name = sounddevice.query_devices(default)["name"] if devices and default >= 0 else None
print(json.dumps({"devices": devices, "default": name}))
"""
COMPUTE_PROBE: Final = """
import json, torch
found = {"cuda": [], "mps": torch.backends.mps.is_available(), "threads": torch.get_num_threads()}
if torch.cuda.is_available():
    for index in range(torch.cuda.device_count()):
        what = torch.cuda.get_device_properties(index)
        found["cuda"].append([what.name, what.total_memory])
print(json.dumps(found))
"""


def installed_version(package: str) -> str | None:
    """The version of a package, None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def ask(code: str) -> Any:
    """What a snippet prints as JSON, in a process of its own; the reason as text if it fails."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=PROBE_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return f"no answer in {PROBE_SECONDS:.0f} s"
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return last[:300]


def port_trouble(port: int, kind: socket.SocketKind) -> str | None:
    """Why nobody can listen on a port of this machine; None if it is free."""
    with socket.socket(socket.AF_INET, kind) as trial:
        if kind is socket.SOCK_STREAM:
            # Connections that ended a minute ago are no obstacle; a listener is one all the same.
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError as error:
            return error.strerror or str(error)
    return None
