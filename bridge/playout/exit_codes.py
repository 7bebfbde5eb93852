"""How the playout process ends, for its supervisor. Those of sysexits.h."""

from __future__ import annotations

DONE = 0
BAD_START = 64
FAILED = 70
DEVICE_LOST = 74
