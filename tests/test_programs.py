"""A missing program is a skip on a user's machine and a failure where CI=true."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.programs import requires_program

ABSENT = "no-program-has-this-name"


def test_a_program_that_is_there_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    python = Path(sys.executable)
    monkeypatch.setenv("PATH", str(python.parent))
    assert Path(requires_program(python.name)).samefile(python)


@pytest.mark.parametrize("value", [None, "", "false"])
def test_a_missing_program_is_skipped(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("CI", raising=False)
    if value is not None:
        monkeypatch.setenv("CI", value)
    with pytest.raises(pytest.skip.Exception, match=ABSENT):
        requires_program(ABSENT)


def test_a_missing_program_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=ABSENT):
        requires_program(ABSENT)
