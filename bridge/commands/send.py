"""`musicgen-rt send`: one command to the daemon, and its answer."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence

from bridge.argument import Choice, Name, Text
from bridge.commands.daemon_client import (
    DONE,
    MISUSED,
    REFUSED,
    UNAVAILABLE,
    add_daemon_arguments,
    connect,
    say,
    shown_value,
)
from bridge.control.osc_client import NoAnswerError
from bridge.protocol import BY_ADDRESS
from bridge.refusal import Refusal

HELP = "send one command to the daemon and wait for its answer"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-command's arguments."""
    parser.epilog = (
        "Exit codes: 0 done, 1 refused, 2 wrong command line, 69 nobody answers. "
        "`musicgen-rt protocol` lists all addresses."
    )
    parser.add_argument("address", metavar="ADDRESS", help="such as /mgrt/prompt/set")
    parser.add_argument("values", nargs=argparse.REMAINDER, metavar="ARG", help="such as 0 jazz")
    parser.add_argument(
        "--timeout",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="how long to wait: some commands are done at the next bar (default 30)",
    )
    add_daemon_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Send, wait, print."""
    try:
        if not 0 < args.timeout <= 3600:
            raise Refusal(f"timeout {args.timeout:g}: expected more than 0, at most 3600 s")
        values = typed_values(args.address, args.values)
        with connect(args, args.timeout) as client:
            has_failed = False
            for message in client.ask(args.address, *values, seconds=args.timeout):
                texts = [shown_value(value) for value in message.args]
                if message.address == "/fail":
                    has_failed = True
                    say(": ".join(texts))
                else:
                    print(message.address, *texts)
            return REFUSED if has_failed else DONE
    except Refusal as refusal:
        say(f"error: {refusal}")
        return MISUSED
    except NoAnswerError as error:
        say(f"error: {error}")
        return UNAVAILABLE


def typed_values(address: str, texts: Sequence[str]) -> list[str | int | float]:
    """Words of a command line in the types that the address takes; elsewhere as they look.

    Raises Refusal for an address that is none.
    """
    if not address.startswith("/"):
        raise Refusal(f"address {address!r}: expected one that begins with /mgrt/")
    entry = BY_ADDRESS.get(address)
    arguments = () if entry is None else entry.all_arguments
    values: list[str | int | float] = []
    for index, text in enumerate(texts):
        argument = arguments[index] if index < len(arguments) else None
        is_text = isinstance(argument, Text | Name | Choice)
        values.append(text if is_text else _as_it_looks(text))
    return values


def _as_it_looks(text: str) -> str | int | float:
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text
