"""`musicgen-rt evaluate recovery`: how soon is all well again after something has died?"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from musicgen_rt.commands.evaluate_stage import add_stage_arguments, at_least, tell

HELP = "kill the daemon's processes and its JACK server, and time what is heard (needs jackd)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the measure's arguments."""
    add_stage_arguments(parser)
    parser.add_argument(
        "--rounds", type=at_least(1), default=5, metavar="N", help="daemons to harm (default 5)"
    )


def run(args: argparse.Namespace) -> int:
    """Harm and time; 1 if anything took longer than it should."""
    from musicgen_rt.commands.step_progress import StepProgress
    from musicgen_rt.evaluate.stage_recovery import RecoverySettings, evaluate_recovery

    with (
        tempfile.TemporaryDirectory(prefix="musicgen-rt-recovery-") as scratch,
        StepProgress(is_quiet=args.quiet) as progress,
    ):
        settings = RecoverySettings(
            folder=args.out or Path(scratch),
            model=args.model,
            rounds=args.rounds,
            threads=args.threads,
            weights=args.weights,
            period_frames=args.period,
        )
        report = evaluate_recovery(settings, progress.update)
    tell(report, args)
    return 1 if report["complaints"] else 0
