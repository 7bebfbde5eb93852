"""`python -m bridge.stand_in MODULE jam ...`: the daemon with another engine, for measures.

What is measured is then the daemon's own doing: a stand-in plays what can be found in a recording
to the sample, at once and on any machine.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from bridge import children
from bridge.cli import main as run


def main(argv: Sequence[str]) -> int:
    """Run the command line after the first argument, which names the engine's module."""
    module, *rest = argv
    vars(children).update(ENGINE_MODULE=module)
    return run(rest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
