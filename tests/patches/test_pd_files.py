"""The Pure Data patches as files: their cords, and what their boxes send and wait for.

An address is the selector of a message box there, without its prefix.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.entry import PREFIX
from bridge.protocol import BY_ADDRESS, COMMANDS, OUTGOING
from bridge.refusal import Refusal

FILES = sorted((Path(__file__).resolve().parents[2] / "patches" / "pd").glob("*.pd"))
BOX = re.compile(r"#X (msg|obj) \d+ \d+ (.*)", re.DOTALL)
NUMBER = re.compile(r"-?\d+(\.\d+)?")
OWN_WORDS = {
    *("at", "bang", "change", "connect", "disconnect", "done", "fail", "float", "mgrt", "symbol"),
    *map(str, range(8)),
}
HEARD = {entry.address for entry in OUTGOING} | {entry.answer.address for entry in COMMANDS}
HEARD |= set(BY_ADDRESS)  # after done, fail and late
HEARD_WORDS = HEARD | {word for one in HEARD for word in one.removeprefix(PREFIX).split("/")}


def records(path: Path) -> list[str]:
    """The records of a patch: each ends with a semicolon that is not escaped."""
    text = path.read_text(encoding="utf-8")
    return [record.strip() for record in re.split(r"(?<!\\);", text) if record.strip()]


def boxes(kind: str) -> Iterator[tuple[Path, list[str]]]:
    """The words of every box of a kind in every patch."""
    for path in FILES:
        for record in records(path):
            match = BOX.fullmatch(record)
            if match is not None and match[1] == kind:
                words = re.sub(r", f \d+$", "", match[2]).replace("\\,", ",").replace("\\$", "$")
                yield path, words.split()


def loose_cords(text: list[str]) -> list[str]:
    """The cords among records that do not join two boxes of their canvas."""
    loose = []
    counts: list[int] = []
    for record in text:
        words = record.split()
        if words[1] in ("struct", "coords"):
            continue  # a kind of scalar, the frame of a canvas: no boxes
        if words[1] == "canvas":
            counts.append(0)
        elif words[1] == "connect":
            ends = int(words[2]), int(words[4])
            if max(ends) >= counts[-1]:
                loose.append(record)
        elif words[1] == "restore":
            counts.pop()
            counts[-1] += 1
        else:
            counts[-1] += 1
    return loose


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_cord_joins_two_boxes(path: Path) -> None:
    assert loose_cords(records(path)) == []


def test_a_loose_cord_is_found() -> None:
    canvas = ["#N canvas 0 0 9 9 12", "#X obj 0 0 bang", "#N canvas 0 0 9 9 inner 0"]
    canvas += ["#X obj 0 0 inlet", "#X connect 0 0 1 0", "#X restore 0 9 pd inner"]
    assert loose_cords([*canvas, "#X connect 0 0 1 0"]) == ["#X connect 0 0 1 0"]


def messages() -> list[tuple[str, list[str]]]:
    """The message boxes that go to the daemon, and where they are."""
    found = []
    for path, words in boxes("msg"):
        if words[:1] == ["at"]:
            del words[:2]  # at MS
        if words and NUMBER.fullmatch(words[0]) and len(words) > 1:
            del words[:1]  # the time of a bundle
        if words and ("/" in words[0] or PREFIX + words[0] in BY_ADDRESS):
            found.append((path.name, words))
    return found


def is_taken(address: str, words: list[str]) -> bool:
    """Whether the table takes what Pd would send: numbers are floats, a slider is at 1 or 100."""
    refusals = 0
    for slider in ("1", "100"):
        given = [word.replace("$1", slider) for word in words]
        values = [float(word) if NUMBER.fullmatch(word) else word for word in given]
        try:
            BY_ADDRESS[address].call(values)
        except Refusal:
            refusals += 1
    return refusals < 2


@pytest.mark.parametrize(("name", "words"), messages(), ids=str)
def test_pd_sends_what_the_table_takes(name: str, words: list[str]) -> None:
    assert PREFIX + words[0] in BY_ADDRESS
    assert is_taken(PREFIX + words[0], words[1:])


def test_pd_messages_are_found_and_a_wrong_one_is_refused() -> None:
    sent = {words[0] for _, words in messages()}
    assert {"prompt/set", "prompt/weight", "clock/tempo", "notify", "audio/mute", "sync"} <= sent
    assert not is_taken("/mgrt/prompt/weight", ["9", "$1"])


def test_pd_listens_for_what_the_table_sends() -> None:
    for path, words in boxes("obj"):
        if words[0] == "route":
            assert set(words[1:]) <= OWN_WORDS | HEARD_WORDS, path
        if words[:2] == ["list", "prepend"] and "/" in words[2]:
            assert PREFIX + words[2] in BY_ADDRESS, path
