"""Asks for the devices that there are now, in a process of its own.

PortAudio looks once, and looking anew would end the stream that plays; a driver that hangs would
hang the playout too.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable

from bridge.playout.device_list import Device
from bridge.playout.output import DeviceError

_ANSWER_SECONDS = 10.0


def ask_devices(id: int, post: Callable[..., bool]) -> None:
    """Answer the request `id` with the devices' names, or with what is wrong, later. [any]"""

    def ask() -> None:
        try:
            names = [device.name for device in fresh_devices()]
        except DeviceError as error:
            post({"type": "failed", "id": id, "reason": str(error)})
        else:
            post({"type": "applied", "id": id, "sample": None, "devices": names})

    threading.Thread(target=ask, name="device-query", daemon=True).start()


def fresh_devices() -> list[Device]:
    """All that can play now; an `index` of theirs means nothing here. [any but pump]

    Raises DeviceError if the drivers do not say.
    """
    try:
        asked = subprocess.run(
            [sys.executable, "-m", "bridge.playout.device_list"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ANSWER_SECONDS,
            check=True,
            text=True,
        )
        return [Device(**device) for device in json.loads(asked.stdout)]
    except (OSError, subprocess.SubprocessError, ValueError, TypeError) as error:
        raise DeviceError(f"the audio drivers did not say what there is: {error}") from error
