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

_ANSWER_SECONDS = 10.0


def ask_devices(id: int, post: Callable[..., bool]) -> None:
    """Answer the request `id` with the devices' names, or with what is wrong, later. [any]"""

    def ask() -> None:
        try:
            names = _names()
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            reason = f"the audio drivers did not say what there is: {error}"
            post({"type": "failed", "id": id, "reason": reason})
        else:
            post({"type": "applied", "id": id, "sample": None, "devices": names})

    threading.Thread(target=ask, name="device-query", daemon=True).start()


def _names() -> list[str]:
    asked = subprocess.run(
        [sys.executable, "-m", "bridge.playout.device_list"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_ANSWER_SECONDS,
        check=True,
        text=True,
    )
    return [str(name) for name in json.loads(asked.stdout)]
