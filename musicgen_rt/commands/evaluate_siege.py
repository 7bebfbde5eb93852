"""`musicgen-rt evaluate siege`: does the daemon stand floods of messages and storms of garbage?"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from musicgen_rt.commands.evaluate_stage import add_report_arguments, at_least, tell

HELP = "send the daemon messages as fast as it takes them, and damaged packets, over its sockets"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the measure's arguments."""
    parser.add_argument("--model", default="pocket", metavar="DIR|ID", help="default pocket")
    for name, doc in (("messages", "good messages"), ("packets", "damaged packets")):
        parser.add_argument(
            f"--{name}",
            type=at_least(0),
            default=100_000,
            metavar="N",
            help=f"{doc} (default 100000)",
        )
    parser.add_argument(
        "--seed", type=int, metavar="N", help="of the damage (default: drawn, and in the report)"
    )
    add_report_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Besiege it; 1 if it fell."""
    from musicgen_rt.commands.step_progress import StepProgress
    from musicgen_rt.evaluate.stage_siege import SiegeSettings, evaluate_siege

    with (
        tempfile.TemporaryDirectory(prefix="musicgen-rt-siege-") as scratch,
        StepProgress(is_quiet=args.quiet) as progress,
    ):
        settings = SiegeSettings(
            folder=args.out or Path(scratch),
            messages=args.messages,
            packets=args.packets,
            seed=args.seed,
            model=args.model,
        )
        report = evaluate_siege(settings, progress.update)
    tell(report, args)
    return 1 if report["complaints"] else 0
