"""Programs that tests drive: looked for in one place, so that none is skipped in silence."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest


def requires_program(name: str) -> str:
    """The full path of a program on PATH, for a test or fixture that runs it.

    Where it is absent the test is skipped, and pytest's summary names it. With CI=true it fails:
    a test that nobody runs proves nothing.
    """
    path = shutil.which(name)
    if path is None:
        _is_missing(f"the program {name!r} is not on PATH: install it to run this test")
    return path


def requires_node_package(folder: Path, name: str) -> None:
    """A package of Node.js in a patch's folder, for a test that needs it; absent as above."""
    requires_program("node")
    if (folder / "node_modules" / name / "package.json").is_file():
        return
    _is_missing(f"no {name!r} in {folder.name}/node_modules: run npm ci there to run this test")


def _is_missing(reason: str) -> NoReturn:
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(reason)
    pytest.skip(reason)
