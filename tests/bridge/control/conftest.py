"""A rig whose children are ready."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bridge.control.rig import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path, prompts=(("deep house", 1.0),)).start()
