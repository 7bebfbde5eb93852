"""`musicgen-rt evaluate beatlock`: whether what is heard is on the session's beats."""

from __future__ import annotations

import argparse
from pathlib import Path

from musicgen_rt.commands import hush_libraries
from musicgen_rt.commands.evaluate_output import check_file, write_report
from musicgen_rt.commands.evaluate_pocket import add_model_arguments

HELP = "judge with librosa whether the music keeps the session's beats, locked and not"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the measure's arguments."""
    add_model_arguments(parser)
    parser.add_argument(
        "--stand-in", action="store_true", help="judge the lock on drifting drums, without a model"
    )
    parser.add_argument(
        "--seconds", type=float, default=300.0, metavar="N", help="length of a take; default 300"
    )
    parser.add_argument(
        "--bpm",
        type=float,
        action="append",
        metavar="N",
        help="a tempo to judge, without changes of tempo; repeatable. Default 90, 120, 128, 174, "
        "a step and a ramp",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default 0")
    parser.add_argument("--json", action="store_true", help="print the whole report as JSON")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the JSON here")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def run(args: argparse.Namespace) -> int:
    """Judge, and print a report."""
    from musicgen_rt.commands.step_progress import StepProgress
    from musicgen_rt.evaluate.beatlock import (
        DEFAULT_BPMS,
        BeatlockSettings,
        evaluate_model,
        evaluate_stand_in,
        table,
    )

    if args.out is not None:
        check_file(args.out)
    hush_libraries()
    settings = BeatlockSettings(
        seconds=args.seconds,
        bpms=tuple(args.bpm or DEFAULT_BPMS),
        has_changes=not args.bpm,
        seed=args.seed,
    )
    with StepProgress(is_quiet=args.quiet) as progress:
        if args.stand_in:
            report = evaluate_stand_in(settings, progress.update)
        else:
            from musicgen_rt.model.musicgen import MusicGen

            model = MusicGen.load(args.model, device=args.device, weights=args.weights)
            report = evaluate_model(model, settings, progress.update)
    write_report(args, report, table(report))
    return 0
