"""Programs that tests drive: looked for in one place, so that none is skipped in silence."""

from __future__ import annotations

import os
import shutil

import pytest


def requires_program(name: str) -> str:
    """The full path of a program on PATH, for a test or fixture that runs it.

    Where it is absent the test is skipped, and pytest's summary names it. With CI=true it fails:
    a test that nobody runs proves nothing.
    """
    path = shutil.which(name)
    if path is not None:
        return path
    reason = f"the program {name!r} is not on PATH: install it to run this test"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(reason)
    pytest.skip(reason)
