"""Scripts for programs that do not run here, in a stand-in for what these programs offer."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.programs import requires_program


def lines_of(
    folder: Path, program: str, stand_in: str, script: Path, **environment: str
) -> list[str]:
    """What a stand-in prints while a script runs in it."""
    driver = folder / ("driver.mjs" if program == "node" else "driver.lua")
    driver.write_text(stand_in)
    command = [requires_program(program), str(driver), str(script)]
    result = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, **environment},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()
