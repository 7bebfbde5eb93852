"""`musicgen-rt evaluate stage`: does the daemon play for minutes without a fault that is heard?"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

HELP = "play the daemon by a script into a JACK server, and judge every sample (needs jackd)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the measure's arguments."""
    add_stage_arguments(parser)
    parser.add_argument(
        "--minutes",
        type=at_least(0.1, float),
        default=5.0,
        metavar="N",
        help="how long to play (default 5)",
    )


def add_stage_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is played, on what, and where the report goes."""
    parser.add_argument(
        "--model", default="pocket", metavar="DIR|ID", help="checkpoint (default: pocket)"
    )
    parser.add_argument("--weights", default="auto", metavar="NAME", help="as for jam")
    parser.add_argument("--threads", type=at_least(1), metavar="N", help="as for jam")
    parser.add_argument(
        "--period",
        type=at_least(16),
        default=512,
        metavar="N",
        help="the sound card's period in samples at 48 kHz (default 512)",
    )
    add_report_arguments(parser)


def at_least(least: float, kind: type[float] = int) -> Callable[[str], float]:
    """What makes an argument's text a number from `least` on, and says so of any other."""

    def number(text: str) -> float:
        value = kind(text)
        if not least <= value < math.inf:
            raise argparse.ArgumentTypeError(f"{text} is not a number from {least} on")
        return value

    number.__name__ = "number"  # argparse names it where `kind` refuses
    return number


def add_report_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare where a report goes."""
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--out", type=Path, metavar="DIR", help="keep the log and report.json here")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def run(args: argparse.Namespace) -> int:
    """Play and judge; 1 if there is anything to complain of."""
    from musicgen_rt.commands.step_progress import StepProgress
    from musicgen_rt.evaluate.stage import StageSettings, evaluate_stage

    with (
        tempfile.TemporaryDirectory(prefix="musicgen-rt-stage-") as scratch,
        StepProgress(is_quiet=args.quiet) as progress,
    ):
        settings = StageSettings(
            folder=args.out or Path(scratch),
            model=args.model,
            minutes=args.minutes,
            threads=args.threads,
            weights=args.weights,
            period_frames=args.period,
        )
        report = evaluate_stage(settings, progress.update)
    tell(report, args)
    return 1 if report["complaints"] else 0


def tell(report: dict[str, Any], args: argparse.Namespace) -> None:
    """Print a report, and write it where that was asked for."""
    text = json.dumps(report, indent=2)
    if args.out is not None:
        (args.out / "report.json").write_text(text + "\n", encoding="utf-8")
    if args.json:
        print(text)
        return
    print("; ".join(report["complaints"]) or "nothing to complain of")
    for name, value in report.items():
        if isinstance(value, (int, float, str)):
            print(f"{name:26} {value:.2f}" if isinstance(value, float) else f"{name:26} {value}")
