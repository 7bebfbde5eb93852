"""`musicgen-rt listen`: what the daemon tells its subscribers, line by line."""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from collections.abc import Iterator

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
from bridge.control.address_pattern import AddressPattern
from bridge.control.osc_client import NoAnswerError, OscClient
from bridge.control.osc_decode import OscMessage
from bridge.refusal import Refusal

HELP = "print what the daemon tells: state, beats, errors"

_ANSWER_SECONDS = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-command's arguments."""
    parser.add_argument(
        "patterns",
        nargs="*",
        metavar="PATTERN",
        help="only these addresses, such as /mgrt/beat or '/mgrt/state/*' (default: all)",
    )
    parser.add_argument("--count", type=int, metavar="N", help="end after so many lines")
    parser.add_argument("--json", action="store_true", help="print JSON arrays")
    add_daemon_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Subscribe and print until it is interrupted."""
    try:
        if args.count is not None and args.count < 1:
            raise Refusal(f"count {args.count}: expected 1 or more")
        patterns = [AddressPattern(text) for text in args.patterns]
        with connect(args, _ANSWER_SECONDS) as client:
            printed = 0
            for message in _messages(client):
                if message.address == "/fail":
                    say(": ".join(shown_value(value) for value in message.args))
                    return REFUSED
                if patterns and not any(one.matches(message.address) for one in patterns):
                    continue
                _print(message, args.json)
                printed += 1
                if printed == args.count:
                    break
        return DONE
    except Refusal as refusal:
        say(f"error: {refusal}")
        return MISUSED
    except NoAnswerError as error:
        say(f"error: {error}")
        return UNAVAILABLE


def _messages(client: OscClient) -> Iterator[OscMessage]:
    """All messages; the lease is renewed, and given back at the end."""
    client.send("/mgrt/notify", 1)
    answer = client.receive(_ANSWER_SECONDS)
    if answer is None:
        raise NoAnswerError("the daemon does not answer: look at its log")
    if answer.address != "/done":
        yield answer
        return
    renew_seconds = float(answer.args[2]) / 3
    try:
        renewed = time.monotonic()
        while True:
            left = renewed + renew_seconds - time.monotonic()
            message = client.receive(max(0.01, left))
            if message is not None and message.address != "/mgrt/version.reply":
                yield message
            if time.monotonic() - renewed >= renew_seconds:
                client.send("/mgrt/version")
                renewed = time.monotonic()
    finally:
        with contextlib.suppress(NoAnswerError):
            client.send("/mgrt/notify", 0)


def _print(message: OscMessage, is_json: bool) -> None:
    if is_json:
        print(json.dumps([message.address, *message.args], default=str), flush=True)
    else:
        print(message.address, *map(shown_value, message.args), flush=True)
