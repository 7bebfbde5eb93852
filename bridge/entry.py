"""An entry of the protocol's table: one address with all that is known about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bridge.argument import NOW, WHEN_WORDS, Argument, When, WhenArgument
from bridge.refusal import Refusal, shown

PREFIX = "/mgrt/"


@dataclass(frozen=True)
class Answer:
    """What comes back when a command has been done: `/done ADDRESS ...` or a message of its own."""

    arguments: tuple[Argument, ...] = ()
    path: str | None = None

    @property
    def address(self) -> str:
        return "/done" if self.path is None else PREFIX + self.path


@dataclass(frozen=True)
class Call:
    """The checked arguments of one request, defaults filled in, and when it is to be heard."""

    args: tuple[Any, ...]
    when: When = NOW


@dataclass(frozen=True)
class Entry:
    """One address.

    `when` makes it a musical command: it takes an optional last argument, and a bundle's time tag
    says when it is heard. `needs_model` commands are refused while the model loads. A continuous
    command is a fader: of many in a row only the last value counts. A pattern such as
    `/mgrt/param/set/*` reaches only entries that are `in_patterns`.
    """

    path: str
    doc: str
    arguments: tuple[Argument, ...] = ()
    answer: Answer = Answer()
    when: WhenArgument | None = None
    needs_model: bool = False
    is_continuous: bool = False
    in_patterns: bool = True
    is_event: bool = False

    @cached_property
    def address(self) -> str:
        return PREFIX + self.path

    @property
    def group(self) -> str:
        return self.path.partition("/")[0] if "/" in self.path else "server"

    @property
    def is_control(self) -> bool:
        """Whether it changes what is heard, or how; no question, and not about the client."""
        is_question = self.answer.path is not None or self.path.startswith("param/listen/")
        return not (self.is_event or is_question or self.group in ("server", "midi"))

    @property
    def all_arguments(self) -> tuple[Argument, ...]:
        """The arguments with `when` as the last one."""
        return self.arguments if self.when is None else (*self.arguments, self.when)

    @property
    def usage(self) -> str:
        """The address with the names of its arguments, optional ones in brackets."""
        return " ".join([self.address, *(argument.usage for argument in self.all_arguments)])

    @property
    def usual_arguments(self) -> tuple[Argument, ...]:
        """What a client sends that knows of no optional arguments: those that are required.

        Where none is, it is the first, so that there is something to set.
        """
        required = tuple(one for one in self.arguments if not one.is_optional)
        return required or self.arguments[:1]

    def call(self, values: Sequence[Any]) -> Call:
        """The arguments checked. Raises Refusal naming the value and what was expected."""
        given, when = self._take_when(list(values))
        given = self._join_words(given)
        if len(given) > len(self.arguments):
            if self.when is None or len(given) > len(self.arguments) + 1:
                raise Refusal(f"{len(values)} arguments, too many: expected {self.usage}")
            when = self.when.check(given.pop())
        checked = [
            argument.check(value) for argument, value in zip(self.arguments, given, strict=False)
        ]
        for argument in self.arguments[len(given) :]:
            if not argument.is_optional:
                raise Refusal(f"{argument.name} is missing: expected {self.usage}")
            checked.append(argument.default)
        if when is None:
            when = NOW if self.when is None else self.when.default
        return Call(tuple(checked), when)

    def _take_when(self, values: list[Any]) -> tuple[list[Any], When | None]:
        """Split off a last word that can only be `when`, though optional arguments are left out."""
        if self.when is None or not values or not _is_when_word(values[-1]):
            return values, None
        words_at = self._words_at
        if words_at is None:
            is_extra = len(values) > sum(not one.is_optional for one in self.arguments)
        else:
            # "jazz", "bar" is a prompt of two words; after a weight "bar" can only be the time.
            is_extra = len(values) > words_at + 2 and not isinstance(values[-2], str)
        return (values[:-1], self.when.check(values[-1])) if is_extra else (values, None)

    def _join_words(self, values: list[Any]) -> list[Any]:
        """Join what a client without quotes sent word by word into one text."""
        at = self._words_at
        if at is None or len(values) <= at:
            return values
        last = max((i for i, value in enumerate(values) if isinstance(value, str)), default=-1)
        if last <= at:
            return values
        text = " ".join(_as_word(value) for value in values[at : last + 1])
        return [*values[:at], text, *values[last + 1 :]]

    @cached_property
    def _words_at(self) -> int | None:
        for index, argument in enumerate(self.arguments):
            if argument.takes_many_words:
                return index
        return None


def _is_when_word(value: Any) -> bool:
    return isinstance(value, str) and value.strip().lower() in WHEN_WORDS


def _as_word(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Refusal(f"{shown(value)} within a text: expected words and numbers")
    return f"{value:g}" if isinstance(value, float) else str(value)
