"""`musicgen-rt evaluate demos`: eight short pieces to listen to and to look at."""

from __future__ import annotations

import argparse
from pathlib import Path

from musicgen_rt.commands import hush_libraries
from musicgen_rt.commands.evaluate_pocket import add_model_arguments

HELP = "play the demo pieces into small audio files, with pictures and figures"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the measure's arguments."""
    add_model_arguments(parser)
    parser.add_argument(
        "--out", type=Path, default=Path("docs/demos"), metavar="DIR", help="default docs/demos"
    )
    parser.add_argument(
        "--format", choices=("opus", "flac"), default="opus", help="default opus, the smaller"
    )
    parser.add_argument("--only", action="append", metavar="NAME", help="this piece; repeatable")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def run(args: argparse.Namespace) -> int:
    """Play, and print the names of the audio files."""
    from musicgen_rt.commands.step_progress import StepProgress
    from musicgen_rt.evaluate.demo import chosen, write_demos
    from musicgen_rt.evaluate.pocket_play import Player
    from musicgen_rt.live.build import EngineOptions
    from musicgen_rt.model.musicgen import MusicGen

    hush_libraries()
    pieces = chosen(args.only or ())
    model = MusicGen.load(args.model, device=args.device, weights=args.weights)
    player = Player(model, EngineOptions(compile_step=args.compile))
    with StepProgress(is_quiet=args.quiet) as progress:
        written = write_demos(player, args.out, args.format, progress.update, pieces)
    for path in written:
        print(path)
    return 0
