"""Why a request is not done: the text of a `/fail`."""

from __future__ import annotations

SHOWN_CHARS = 40


class Refusal(ValueError):  # noqa: N818, since it is an answer and no error of the program
    """A request that is refused. The message names the value, what was expected, and the fix."""


def shown(value: object) -> str:
    """A value from outside, short and without control characters, for a message."""
    text = repr(value)
    return text if len(text) <= SHOWN_CHARS else f"{text[: SHOWN_CHARS - 3]}..."
