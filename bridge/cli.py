"""The `musicgen-rt` command: finds sub-commands, parses arguments, turns failures into exit codes.

Sub-commands are entry points of the group `musicgen_rt.commands`: light modules with HELP,
add_arguments(parser) and run(args) -> exit code. They are found by name, so that this package
imports neither the engine nor torch, and another package can add its own.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, entry_points, version
from types import FrameType
from typing import Protocol, cast

PROGRAM = "musicgen-rt"
GROUP = "musicgen_rt.commands"

# Those of sysexits.h and of shells: 128 + the number of the signal that ended the program.
SOFTWARE_ERROR = 70
INTERRUPTED = 128 + signal.SIGINT
BROKEN_PIPE = 128 + 13


class Command(Protocol):
    """What an entry point of the group must offer; modules do."""

    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the sub-command's arguments."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it; the exit code."""


def find_commands() -> dict[str, Command]:
    """All installed sub-commands by name. One that cannot be imported costs a line on stderr."""
    commands: dict[str, Command] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            commands[point.name] = cast(Command, point.load())
        # Whatever a broken package does at import, the other commands must work.
        except Exception as error:
            _say(f"the command {point.name} ({point.value}) cannot be loaded: {error}")
    return commands


def build_parser(commands: Mapping[str, Command]) -> argparse.ArgumentParser:
    """The parser with one sub-parser a command."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="MusicGen as a live instrument: endless, steerable, exact.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {_version()}")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in commands.items():
        help_text = command.HELP
        sub = subparsers.add_parser(
            name,
            help=help_text,
            description=f"{help_text[:1].upper()}{help_text[1:]}.",
            allow_abbrev=False,
        )
        # Without a default of its own it leaves what `musicgen-rt --debug COMMAND` has set.
        sub.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help="show tracebacks"
        )
        command.add_arguments(sub)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (default: that of the process) and return its exit code.

    Raises SystemExit as argparse does: 0 after --help and --version, 2 for a wrong command line.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # file names may hold what the terminal cannot show
            stream.reconfigure(errors="backslashreplace")
    commands = find_commands()
    args = build_parser(commands).parse_args(argv)
    try:
        with _ended_by_signals():
            code = commands[args.command].run(args)
            sys.stdout.flush()
            return code
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # What reads our output has gone. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    # The last line of defence: no command may end in a traceback that the user did not ask for.
    except Exception as error:
        if args.debug:
            traceback.print_exc()
        else:
            first_line = next(iter(str(error).strip().splitlines()), "no message")
            _say(f"unexpected {type(error).__name__}: {first_line} (--debug shows where)")
        return SOFTWARE_ERROR


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind the stack, so that temporary files go and files are closed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    # A signal that is ignored (nohup) stays so.
    numbers = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, _exit_on)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def _exit_on(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _version() -> str:
    try:
        return version(PROGRAM)
    except PackageNotFoundError:  # run from a folder that is not installed
        return "(not installed)"


def _say(message: str) -> None:
    print(f"{PROGRAM}: {message}", file=sys.stderr)
