"""`musicgen-rt evaluate melody`: whether what is played on a keyboard is what is heard."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from musicgen_rt.commands import hush_libraries
from musicgen_rt.commands.evaluate_output import add_output_arguments, check_outputs, write_report
from musicgen_rt.commands.evaluate_pocket import add_model_arguments

if TYPE_CHECKING:
    from musicgen_rt.evaluate.melody_venue import Venue

HELP = "judge with librosa whether melodies that are played, and looped, are heard"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the measure's arguments."""
    add_model_arguments(parser)
    parser.add_argument("--phrases", type=int, default=20, metavar="N", help="default 20")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default 0")
    parser.add_argument(
        "--through-daemon",
        action="store_true",
        help="play over OSC into a daemon, in real time, and judge the PCM that it publishes "
        "(default: the worker's stage alone, in virtual time)",
    )
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Play, judge, and print a report; --plot draws the first phrase."""
    from musicgen_rt.commands.step_progress import StepProgress
    from musicgen_rt.evaluate.melody import evaluate_melody, table
    from musicgen_rt.evaluate.melody_picture import draw_melody

    check_outputs(args)
    hush_libraries()
    with _venue(args) as venue, StepProgress(is_quiet=args.quiet) as progress:
        report, played = evaluate_melody(venue, args.phrases, args.seed, progress.update)
    if args.plot is not None:
        first = played[0]
        asked = first.looped[0].copy()
        asked[: len(first.followed[0])] = first.followed[0]
        title = f"{report['model']}: a phrase followed, then looped"
        draw_melody(
            args.plot,
            first.samples,
            first.rate_hz,
            asked.tolist(),
            title,
            first.beats_seconds,
            first.bars_seconds,
        )
    write_report(args, report, table(report))
    return 0


@contextmanager
def _venue(args: argparse.Namespace) -> Iterator[Venue]:
    if not args.through_daemon:
        from musicgen_rt.evaluate.melody_stage import StageVenue
        from musicgen_rt.model.musicgen import MusicGen

        yield StageVenue(MusicGen.load(args.model, device=args.device, weights=args.weights))
        return
    from musicgen_rt.evaluate.melody_daemon import DaemonVenue

    how = ["--compute-device", args.device, "--weights", args.weights]
    how += [] if args.compile else ["--no-compile"]
    with (
        tempfile.TemporaryDirectory(prefix="musicgen-rt-melody-") as folder,
        DaemonVenue(Path(folder), args.model, *how) as venue,
    ):
        yield venue
