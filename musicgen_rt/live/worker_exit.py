"""How the worker's process ends, as control reads it (numbers of sysexits.h)."""

from __future__ import annotations

EXIT_OK = 0
# Start another process: this one is at its end, or its device is.
EXIT_ENGINE = 70
EXIT_DEVICE = 71
# Starting again as it is would fail again: the checkpoint, or what was asked for, is wrong.
EXIT_CONFIG = 78


class GiveUpError(Exception):
    """The process cannot go on; `exit_code` tells control why."""

    def __init__(self, exit_code: int, text: str) -> None:
        super().__init__(text)
        self.exit_code = exit_code
