"""Address patterns against a regular expression, and what is made to be slow."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.control.address_book import MAX_MATCHES, AddressBook
from bridge.control.address_pattern import MAX_ALTERNATIVES, AddressPattern, is_pattern
from bridge.refusal import Refusal
from tests.support.collector import collector_off

PIECES = st.sampled_from(
    ["a", "b", "/", "*", "?", "[ab]", "[a-c]", "[!a]", "{a,ab}", "{b,}", "abc", "[c-]"]
)
ADDRESSES = st.text("abc/-", max_size=8)


def reference(pattern: str) -> re.Pattern[str]:
    """The same as a regular expression, which may take its time."""
    out, at = "", 0
    while at < len(pattern):
        character = pattern[at]
        if character in "[{":
            end = pattern.index("]" if character == "[" else "}", at)
            inner = pattern[at + 1 : end]
            if character == "[":
                out += f"(?!/)[{inner.replace('!', '^')}]"
            else:
                out += f"(?:{'|'.join(map(re.escape, inner.split(',')))})"
            at = end + 1
            continue
        out += {"*": "[^/]*", "?": "[^/]"}.get(character, re.escape(character))
        at += 1
    return re.compile(out)


@given(st.lists(PIECES, max_size=7).map("".join), ADDRESSES)
def test_it_matches_what_a_regular_expression_does(pattern: str, address: str) -> None:
    expected = reference(pattern).fullmatch(address) is not None
    assert AddressPattern(pattern).matches(address) is expected


@pytest.mark.parametrize(
    ("pattern", "address", "expected"),
    [
        ("/mgrt/param/set/*", "/mgrt/param/set/cfg", True),
        ("/mgrt/param/set/*", "/mgrt/param/set/cfg/x", False),
        ("/mgrt/*", "/mgrt/param/set/cfg", False),
        ("/mgrt/param/set/{cfg,top_?}", "/mgrt/param/set/top_k", True),
        ("/mgrt/param/set/{cfg,top_k}", "/mgrt/param/set/cfg", True),
        ("/mgrt/param/set/{cfg,top_k}", "/mgrt/param/set/top_p", False),
        ("*{ab,a}*b", "ab", True),
    ],
)
def test_examples(pattern: str, address: str, expected: bool) -> None:
    try:
        assert AddressPattern(pattern).matches(address) is expected
    except Refusal:
        assert "?" in pattern, "a pattern within alternatives is none"


@pytest.mark.parametrize("pattern", ["[", "{a", "a]", "a}", "[a{", "{a,{b}}", "{[a]}"])
def test_brackets_that_do_not_match(pattern: str) -> None:
    assert is_pattern(pattern)
    with pytest.raises(Refusal):
        AddressPattern(pattern)


@pytest.mark.parametrize(
    "bomb",
    [
        "/" + "*a" * 60,
        "/" + "*" * 120,
        "/" + "?*" * 60,
        "/" + "[!z]*" * 20 + "z",
        "/" + "{a,aa}*" * 8,
    ],
)
def test_no_pattern_is_slow(bomb: str) -> None:
    pattern = AddressPattern(bomb)
    start = time.thread_time()
    with collector_off():
        for _ in range(100):
            pattern.matches("/" + "a" * 60)
    # A regular expression of the first takes longer than the universe has lasted.
    assert (time.thread_time() - start) / 100 < 0.005


@pytest.mark.parametrize(
    "bomb", ["/" + "a" * 200 + "*", "/{" + ",".join("a" * (MAX_ALTERNATIVES + 1)) + "}"]
)
def test_patterns_have_limits(bomb: str) -> None:
    with pytest.raises(Refusal, match="at most"):
        AddressPattern(bomb)


def test_a_pattern_reaches_few_and_harmless_addresses() -> None:
    book = AddressBook()
    paths = [entry.path for entry in book.entries("/mgrt/param/set/*", 0)]
    assert "param/set/cfg" in paths
    assert len(paths) == 10
    for pattern in ("/mgrt/qui?", "/mgrt/gen/*", "/mgrt/transport/*", "/mgrt/notif*"):
        with pytest.raises(Refusal, match="matches 0"):
            book.entries(pattern, 0)
    with pytest.raises(Refusal, match=f"1 to {MAX_MATCHES}"):
        book.entries("/mgrt/param/*/*", 0)
