"""`musicgen-rt evaluate latency`: how long from a command to the sound of it?"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from musicgen_rt.commands.evaluate_stage import add_stage_arguments, at_least, tell

HELP = "measure from knob to ear in a recording from a JACK server (needs jackd)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the measure's arguments."""
    add_stage_arguments(parser)
    parser.add_argument(
        "--trials",
        type=at_least(1),
        default=100,
        metavar="N",
        help="commands to time (default 100)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="another one sends at other moments"
    )


def run(args: argparse.Namespace) -> int:
    """Measure; 1 if the target is missed."""
    from musicgen_rt.commands.step_progress import StepProgress
    from musicgen_rt.evaluate.stage_latency import LatencySettings, evaluate_latency

    with (
        tempfile.TemporaryDirectory(prefix="musicgen-rt-latency-") as scratch,
        StepProgress(is_quiet=args.quiet) as progress,
    ):
        settings = LatencySettings(
            folder=args.out or Path(scratch),
            model=args.model,
            trials=args.trials,
            seed=args.seed,
            threads=args.threads,
            weights=args.weights,
            period_frames=args.period,
        )
        report = evaluate_latency(settings, progress.update)
    tell(report, args)
    return 1 if report["complaints"] else 0
