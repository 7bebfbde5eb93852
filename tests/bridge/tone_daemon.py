"""`python -m tests.bridge.tone_daemon jam ...`: the daemon with a tone for an engine."""

from __future__ import annotations

import sys

from bridge import children
from bridge.cli import main

if __name__ == "__main__":
    vars(children).update(
        ENGINE_MODULE="tests.bridge.tone_engine", PLAYOUT_MODULE="tests.bridge.pausing_playout"
    )
    sys.exit(main())
