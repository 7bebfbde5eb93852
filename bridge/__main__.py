"""`python -m bridge`: the musicgen-rt command."""

import sys

from bridge.cli import main

sys.exit(main())
