"""`musicgen-rt protocol`: the wire protocol as Markdown."""

from __future__ import annotations

import argparse
from pathlib import Path

from bridge.commands.daemon_client import DONE, REFUSED, UNAVAILABLE, say
from bridge.protocol_markdown import protocol_markdown

HELP = "print the protocol: all addresses with their arguments, ranges and answers"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-command's arguments."""
    parser.add_argument(
        "--check", type=Path, metavar="FILE", help="print nothing; 1 if the file is not up to date"
    )


def run(args: argparse.Namespace) -> int:
    """Print, or compare."""
    text = protocol_markdown()
    if args.check is None:
        print(text, end="")
        return DONE
    try:
        written = args.check.read_text(encoding="utf-8")
    except OSError as error:
        say(f"error: {args.check}: {error.strerror}")
        return UNAVAILABLE
    if written == text:
        return DONE
    say(f"{args.check} is not up to date: musicgen-rt protocol > {args.check}")
    return REFUSED
