"""Arguments of the wire protocol: each knows its range and says what it expected.

A value comes from OSC, from JSON or from a command line. What a client's language cannot help is
accepted: whole numbers as floats (Pd and Max have no other), true and false for 1 and 0.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from bridge.refusal import Refusal, shown

MAX_WHEN_BARS = 64
MAX_NAME_CHARS = 64

# A name is one part of a path, hidden files excluded; the folder is ours.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_ .+-]*")


class _Required:
    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED: Any = _Required()


@dataclass(frozen=True)
class When:
    """When something is to be heard: now, on the next beat, or on a bar line.

    `bars` is 0 for now and beat; n means the next bar line whose number is a multiple of n.
    """

    unit: Literal["now", "beat", "bar"] = "now"
    bars: int = 0

    def __str__(self) -> str:
        return str(self.bars) if self.bars > 1 else self.unit


NOW = When()


@dataclass(frozen=True)
class Argument:
    """One argument: its name, meaning and default; REQUIRED if it has none."""

    name: str
    doc: str = field(default="", kw_only=True)
    unit: str = field(default="", kw_only=True)
    default: Any = field(default=REQUIRED, kw_only=True)

    osc_tag: ClassVar[str] = "s"
    takes_many_words: ClassVar[bool] = False

    @property
    def is_optional(self) -> bool:
        return self.default is not REQUIRED

    @property
    def usage(self) -> str:
        """The argument as a usage line shows it."""
        return f"[{self.name}]" if self.is_optional else self.name

    @property
    def expected(self) -> str:
        """What is accepted, in words."""
        raise NotImplementedError

    @property
    def osc_range(self) -> dict[str, Any] | None:
        """The range as OSCQuery writes it, None if there is none."""
        return None

    def check(self, value: Any) -> Any:
        """The value in its type. Raises Refusal naming value and range."""
        raise NotImplementedError

    def refuse(self, value: object) -> Refusal:
        """What to raise for a value that is not accepted."""
        return Refusal(f"{self.name} is {shown(value)}: expected {self.expected}")


@dataclass(frozen=True)
class Whole(Argument):
    """A whole number from `low` to `high`, or one of `only`."""

    low: int
    high: int
    only: tuple[int, ...] = field(default=(), kw_only=True)

    osc_tag = "i"

    @property
    def expected(self) -> str:
        if self.only:
            return f"one of {', '.join(map(str, self.only))}"
        unit = f" {self.unit}" if self.unit else ""
        return f"a whole number, {self.low} to {self.high}{unit}"

    @property
    def osc_range(self) -> dict[str, Any]:
        return {"VALS": list(self.only)} if self.only else {"MIN": self.low, "MAX": self.high}

    def check(self, value: Any) -> int:
        whole = int(value) if isinstance(value, float) and value.is_integer() else value
        if not isinstance(whole, int) or not self.low <= whole <= self.high:
            raise self.refuse(value)
        if self.only and whole not in self.only:
            raise self.refuse(value)
        return int(whole)


@dataclass(frozen=True)
class Number(Argument):
    """A finite number from `low` to `high`."""

    low: float
    high: float

    osc_tag = "f"

    @property
    def expected(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        return f"a number, {self.low:g} to {self.high:g}{unit}"

    @property
    def osc_range(self) -> dict[str, Any]:
        return {"MIN": self.low, "MAX": self.high}

    def check(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.refuse(value)
        # Not a number compares false with everything.
        if not self.low <= value <= self.high:
            raise self.refuse(value)
        return float(value)


@dataclass(frozen=True)
class Switch(Argument):
    """Off or on, as 0 or 1."""

    osc_tag = "i"

    @property
    def expected(self) -> str:
        return "0 or 1"

    @property
    def osc_range(self) -> dict[str, Any]:
        return {"VALS": [0, 1]}

    def check(self, value: Any) -> bool:
        if not isinstance(value, int | float) or value not in (0, 1):
            raise self.refuse(value)
        return bool(value)


@dataclass(frozen=True)
class Choice(Argument):
    """One of a few words."""

    choices: Sequence[str]

    @property
    def expected(self) -> str:
        return f"one of {', '.join(self.choices)}"

    @property
    def osc_range(self) -> dict[str, Any]:
        return {"VALS": list(self.choices)}

    def check(self, value: Any) -> str:
        if not isinstance(value, str) or value not in self.choices:
            raise self.refuse(value)
        return value


@dataclass(frozen=True)
class Text(Argument):
    """Text of one line."""

    max_chars: int

    @property
    def expected(self) -> str:
        return f"1 to {self.max_chars} characters of text on one line"

    def check(self, value: Any) -> str:
        if not isinstance(value, str):
            raise self.refuse(value)
        if len(value) > self.max_chars:
            raise Refusal(f"{self.name} has {len(value)} characters: expected {self.expected}")
        if not value.strip():
            raise self.refuse(value)
        for position, character in enumerate(value):
            if unicodedata.category(character) in ("Cc", "Cs"):
                raise Refusal(
                    f"{self.name} has the control character U+{ord(character):04X} at position "
                    f"{position}: expected {self.expected}"
                )
        return value


@dataclass(frozen=True)
class Words(Text):
    """Text that may arrive word by word, as Pd sends it."""

    takes_many_words = True


@dataclass(frozen=True)
class Name(Argument):
    """The name of a file in a folder of ours; never a path."""

    @property
    def expected(self) -> str:
        return (
            f"a name of 1 to {MAX_NAME_CHARS} letters, digits, spaces, _ . + - that does not "
            "begin with a dot; names never are paths"
        )

    def check(self, value: Any) -> str:
        if not isinstance(value, str) or len(value) > MAX_NAME_CHARS or not _NAME.fullmatch(value):
            raise self.refuse(value)
        return value


@dataclass(frozen=True)
class WhenArgument(Argument):
    """When it is to be heard. With `bars_only` it must fall on a bar line."""

    bars_only: bool = False

    @property
    def expected(self) -> str:
        words = "bar" if self.bars_only else "now, beat, bar"
        return f"{words} or 1 to {MAX_WHEN_BARS} bars"

    def check(self, value: Any) -> When:
        word = value.strip().lower() if isinstance(value, str) else None
        if word == "bar":
            return When("bar", 1)
        if word == "now" and not self.bars_only:
            return NOW
        if word == "beat" and not self.bars_only:
            return When("beat")
        bars = _whole_number(word if word is not None else value)
        if bars is None or not 1 <= bars <= MAX_WHEN_BARS:
            raise self.refuse(value)
        return When("bar", bars)


WHEN_WORDS = ("now", "beat", "bar")


def _whole_number(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 4:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, float) or not math.isfinite(value):
        return None
    return int(value) if value == int(value) else None
