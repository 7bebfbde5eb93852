"""The range of the output's level: what may be asked for, kept and handed to a new playout."""

from __future__ import annotations

from typing import Final

# The lowest is silence.
GAIN_RANGE_DB: Final = (-96.0, 12.0)
