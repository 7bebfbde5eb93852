"""`musicgen-rt evaluate melody`: whether what is played on a keyboard is what is heard."""

from __future__ import annotations

import argparse

from musicgen_rt.commands import hush_libraries
from musicgen_rt.commands.evaluate_output import add_output_arguments, check_outputs, write_report
from musicgen_rt.commands.evaluate_pocket import add_model_arguments

HELP = "judge with librosa whether melodies that are played, and looped, are heard"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the measure's arguments."""
    add_model_arguments(parser)
    parser.add_argument("--phrases", type=int, default=20, metavar="N", help="default 20")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default 0")
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Play, judge, and print a report; --plot draws the first phrase."""
    from musicgen_rt.commands.step_progress import StepProgress
    from musicgen_rt.evaluate.melody import evaluate_melody, table
    from musicgen_rt.evaluate.melody_picture import draw_melody
    from musicgen_rt.model.musicgen import MusicGen

    check_outputs(args)
    hush_libraries()
    model = MusicGen.load(args.model, device=args.device, weights=args.weights)
    with StepProgress(is_quiet=args.quiet) as progress:
        report, played = evaluate_melody(model, args.phrases, args.seed, progress.update)
    if args.plot is not None:
        first = played[0]
        asked = first.looped[0].copy()
        asked[: len(first.followed[0])] = first.followed[0]
        title = f"{model.source}: a phrase followed, then looped"
        draw_melody(args.plot, first.samples, first.rate_hz, asked.tolist(), title)
    write_report(args, report, table(report))
    return 0
