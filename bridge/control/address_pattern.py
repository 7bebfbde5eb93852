"""OSC address patterns, matched in one pass: `?`, `*`, `[a-z]`, `[!a-z]` and `{this,that}`.

A pattern becomes a small automaton whose states are the bits of one integer, so that a character
costs a few operations however many stars there are: no pattern can keep the matcher busy.
"""

from __future__ import annotations

import string

from bridge.refusal import Refusal, shown

MAX_PATTERN_CHARS = 128
MAX_ALTERNATIVES = 16

_SPECIAL = frozenset("?*[]{}")
# What a wildcard may stand for: it does not cross a slash.
_PART_CHARACTERS = frozenset(string.ascii_letters + string.digits + string.punctuation) - {"/"}


def is_pattern(address: str) -> bool:
    """Whether an address has pattern characters."""
    return not _SPECIAL.isdisjoint(address)


class AddressPattern:
    """A compiled pattern."""

    def __init__(self, text: str) -> None:
        """Raises Refusal for a pattern that is too long or whose brackets do not match."""
        if len(text) > MAX_PATTERN_CHARS:
            raise Refusal(
                f"a pattern of {len(text)} characters: expected at most {MAX_PATTERN_CHARS}"
            )
        self._text = text
        self._state = 0  # the one that the characters so far lead to
        self._moves: dict[str, int] = {}  # by character: the states it leads on from
        self._stars = 0  # the states that a star keeps
        self._skips: list[tuple[int, int]] = []  # from a state to others without a character
        self._alternatives = 0
        at = 0
        while at < len(text):
            at = self._add(at)
        self._skips.sort()

    def matches(self, address: str) -> bool:
        """Whether the whole address fits."""
        states = self._after_skips(1)
        for character in address:
            kept = states & self._stars if character != "/" else 0
            states = self._after_skips((states & self._moves.get(character, 0)) << 1 | kept)
            if not states:
                return False
        return bool(states >> self._state & 1)

    def _after_skips(self, states: int) -> int:
        # In order, since skips lead forward only.
        for source, targets in self._skips:
            if states & source:
                states |= targets
        return states

    def _add(self, at: int) -> int:
        """Compile what begins at `at`; where it ends."""
        character = self._text[at]
        if character == "*":
            self._stars |= 1 << self._state
            return at + 1
        if character == "[":
            return self._add_class(at)
        if character == "{":
            return self._add_alternatives(at)
        if character in "]}":
            raise Refusal(f"the pattern {shown(self._text)} closes what it has not opened")
        self._move(_PART_CHARACTERS if character == "?" else frozenset(character))
        return at + 1

    def _move(self, characters: frozenset[str]) -> None:
        """One more state, reached by any of `characters`."""
        for character in characters:
            self._moves[character] = self._moves.get(character, 0) | 1 << self._state
        self._state += 1

    def _add_class(self, at: int) -> int:
        content, end = self._enclosed(at, "]")
        is_negated = content.startswith("!")
        content = content[is_negated:]
        characters: set[str] = set()
        index = 0
        while index < len(content):
            low, high = content[index], content[index]
            if content[index + 1 : index + 2] == "-" and index + 2 < len(content):
                high = content[index + 2]
                index += 2
            characters |= {chr(code) for code in range(ord(low), ord(high) + 1)}
            index += 1
        chosen = _PART_CHARACTERS - characters if is_negated else _PART_CHARACTERS & characters
        self._move(frozenset(chosen))
        return end

    def _add_alternatives(self, at: int) -> int:
        content, end = self._enclosed(at, "}")
        words = content.split(",")
        self._alternatives += len(words)
        if self._alternatives > MAX_ALTERNATIVES:
            raise Refusal(
                f"a pattern of {self._alternatives} alternatives: expected at most "
                f"{MAX_ALTERNATIVES}"
            )
        entry, starts, ends = 1 << self._state, 0, []
        for word in words:
            self._state += 1
            starts |= 1 << self._state
            for character in word:
                self._move(frozenset(character))
            ends.append(1 << self._state)
        self._state += 1
        self._skips.append((entry, starts))
        self._skips += [(one, 1 << self._state) for one in ends]
        return end

    def _enclosed(self, at: int, closing: str) -> tuple[str, int]:
        end = self._text.find(closing, at)
        content = self._text[at + 1 : end]
        if end < 0 or is_pattern(content):
            raise Refusal(f"the pattern {shown(self._text)} does not close what it opens")
        return content, end + 1
