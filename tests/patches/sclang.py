"""SuperCollider's language without a window, with the quark in its class library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from tests.patches.script import Script
from tests.programs import requires_program

FOLDER: Final = Path(__file__).resolve().parents[2] / "patches" / "supercollider"
QUARK: Final = FOLDER / "MusicGenRT"


def sclang(folder: Path, program: Path, **environment: str) -> Script:
    """Run a program in sclang; its posts are lines."""
    settings = {
        "includePaths": [str(QUARK), str(FOLDER / "tests")],
        "excludePaths": [],
        "postInlineWarnings": False,
        "excludeDefaultPaths": False,
    }
    configuration = folder / "sclang.yaml"
    configuration.write_text(json.dumps(settings))  # JSON is YAML
    return Script(
        [requires_program("sclang"), "-l", configuration, program],
        folder,
        {
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(folder),
            "QT_QPA_PLATFORM": "offscreen",
            # As root, in a container, its help browser does not start otherwise.
            "QTWEBENGINE_DISABLE_SANDBOX": "1",
            **environment,
        },
    )
