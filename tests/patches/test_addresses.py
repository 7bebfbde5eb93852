"""What the patches send and expect is in the protocol's table, so that neither can drift."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bridge.entry import PREFIX
from bridge.protocol import BY_ADDRESS, COMMANDS, OUTGOING

PATCHES = Path(__file__).resolve().parents[2] / "patches"
OTHERS = {".png", ".pyc"}
FILES = sorted(
    path
    for path in PATCHES.rglob("*")
    if path.is_file() and path.suffix not in OTHERS and "node_modules" not in path.parts
)
KNOWN = {
    *BY_ADDRESS,
    *(entry.address for entry in OUTGOING),
    *(entry.answer.address for entry in COMMANDS),
}
# An address, or the beginning of one to which a program adds the rest.
ADDRESS = re.compile(rf"{PREFIX}[A-Za-z0-9_./]*")


def strangers(text: str) -> list[str]:
    """The addresses in a text that the table does not know."""
    found = []
    for match in ADDRESS.finditer(text):
        address = match[0].rstrip(".")
        is_beginning = address.endswith("/") and any(one.startswith(address) for one in KNOWN)
        if address not in KNOWN and not is_beginning:
            found.append(address)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PATCHES)))
def test_the_table_knows_every_address(path: Path) -> None:
    assert strangers(path.read_text(encoding="utf-8", errors="replace")) == []


@pytest.mark.parametrize("text", ["send /mgrt/promt/set 0", "'/mgrt/nothing/' + name"])
def test_a_stranger_is_found(text: str) -> None:
    assert strangers(text)


# SuperCollider: a path in quotes, to which the class puts the prefix.
QUOTED_PATH = re.compile(r'"([a-z]+/[a-z_/]+)"')


@pytest.mark.parametrize("path", sorted(PATCHES.rglob("Classes/*.sc")), ids=lambda path: path.name)
def test_the_table_knows_every_path_of_supercollider(path: Path) -> None:
    paths = QUOTED_PATH.findall(path.read_text(encoding="utf-8"))
    assert paths
    assert [one for one in paths if strangers(PREFIX + one)] == []
