"""docs/hosts.md is what it is made of, and what it says of tests is so."""

from __future__ import annotations

import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATCHES = ROOT / "patches"
HOSTS: list[dict[str, Any]] = tomllib.loads((PATCHES / "hosts.toml").read_text())["host"]


def test_the_page_is_up_to_date() -> None:
    made = runpy.run_path(str(PATCHES / "table.py"))["page"]()
    assert (ROOT / "docs" / "hosts.md").read_text() == made, "run patches/table.py"


def test_every_folder_is_a_host() -> None:
    folders = {
        path.name for path in PATCHES.iterdir() if path.is_dir() and path.name[0] not in "._"
    }
    assert folders == {host["folder"] for host in HOSTS}


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host["folder"])
def test_a_host_is_tested_as_the_page_says(host: dict[str, Any]) -> None:
    for name in host["tests"]:
        assert (ROOT / "tests" / "patches" / name).is_file()
    readme = (PATCHES / host["folder"] / "README.md").read_text()
    is_run = host["tested"] in ("in the host", "in its engine", "where installed")
    assert ("**Not run in " in readme) != is_run, "the README says otherwise"


def test_every_picture_is_there() -> None:
    pictures = [PATCHES / host["folder"] / host["picture"] for host in HOSTS if "picture" in host]
    assert pictures
    assert [path for path in pictures if not path.read_bytes().startswith(b"\x89PNG")] == []


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host["folder"])
def test_the_programs_of_a_host_are_required_by_its_tests(host: dict[str, Any]) -> None:
    helpers = (ROOT / "tests").glob("patches/*.py"), (ROOT / "tests" / "bridge").glob("jack*.py")
    text = "".join(path.read_text() for paths in helpers for path in paths)
    for program in host.get("programs", []):
        assert f'"{program}"' in text
