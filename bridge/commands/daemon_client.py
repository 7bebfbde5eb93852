"""What the commands share that talk to a running daemon."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bridge.control.osc_client import OscClient
from bridge.refusal import Refusal

DONE, REFUSED, MISUSED, UNAVAILABLE = 0, 1, 2, 69
DEFAULT_PORT = 9120


def add_daemon_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the daemon is."""
    parser.add_argument("--host", default="127.0.0.1", metavar="NAME", help="the daemon's machine")
    parser.add_argument(
        "--port",
        type=int,
        default=DEFAULT_PORT,
        metavar="N",
        help=f"its OSC port (default {DEFAULT_PORT})",
    )
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help="holds the token, beyond this machine"
    )


def connect(args: argparse.Namespace, seconds: float) -> OscClient:
    """A client of the daemon that the arguments name. Raises NoAnswerError, Refusal."""
    if not 1 <= args.port <= 65535:
        raise Refusal(f"port {args.port}: expected 1 to 65535")
    client = OscClient(args.host, args.port)
    if args.token_file is not None:
        try:
            token = args.token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Refusal(f"{args.token_file} cannot be read: {error}") from error
        client.prove(token, seconds)
    return client


def say(text: str) -> None:
    """One line on stderr."""
    print(f"musicgen-rt: {text}", file=sys.stderr)


def shown_value(value: object) -> str:
    """A value of a reply as the terminal shows it."""
    return f"{value:.7g}" if isinstance(value, float) else str(value)
