"""`musicgen-rt devices`: what can play, and by which name it is chosen."""

from __future__ import annotations

import argparse
import json
import queue
import sys
import threading
from dataclasses import asdict

from bridge.playout.device_list import Device, list_devices
from bridge.playout.output import DeviceError

HELP = "list the audio devices that can play"

# A sound server that hangs lets PortAudio wait for ever.
_ANSWER_SECONDS = 10.0
_UNAVAILABLE = 69


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-command's arguments."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    """List them; 0 even if there are none."""
    try:
        devices = _asked()
    except DeviceError as error:
        print(f"musicgen-rt: {error}", file=sys.stderr)
        return _UNAVAILABLE
    if args.json:
        print(json.dumps([asdict(device) for device in devices], indent=2))
    elif devices:
        for line in _table(devices):
            print(line)
        print("\nChoose one with: musicgen-rt jam --device NAME (a part of the name will do)")
    else:
        print("No audio device was found. `musicgen-rt jam` plays to the null output until one is.")
    return 0


def _asked() -> list[Device]:
    """The devices. Raises DeviceError, also when the drivers do not answer."""
    answer: queue.SimpleQueue[list[Device] | DeviceError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answer.put(list_devices())
        except DeviceError as error:
            answer.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        devices = answer.get(timeout=_ANSWER_SECONDS)
    except queue.Empty:
        raise DeviceError(
            f"the audio drivers have not answered for {_ANSWER_SECONDS:g} s: "
            "a sound server may hang (JACK, PipeWire); restart it"
        ) from None
    if isinstance(devices, DeviceError):
        raise devices
    return devices


def _table(devices: list[Device]) -> list[str]:
    rows = [("", "NAME", "DRIVER", "OUTPUTS", "RATE")]
    rows += [
        ("*" if d.is_default else "", d.name, d.host_api, str(d.channels), f"{d.rate_hz} Hz")
        for d in devices
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
