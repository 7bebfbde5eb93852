"""`musicgen-rt evaluate pocket`: does a small MusicGen do as it is told, and is it music?"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from musicgen_rt.commands import NO_COMPILE, hush_libraries
from musicgen_rt.errors import AudioFileError

HELP = "judge a checkpoint with frame conditioners on held-out music and wordings"

PARTS = {
    "codec": "what the codec does to held-out clips",
    "control": "tempo, beats, bars, melody, parts and style, as asked",
    "text": "the tempo from a text alone",
    "following": "a host that changes tempo, metre or melody in mid-stream",
    "endless": "minutes on end",
    "speed": "x real time and load time, here",
    "ears": "what an ear would object to",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the measure's arguments."""
    add_model_arguments(parser)
    for name, default, kind, doc in (
        ("clips", 200, int, "clips for the codec"),
        ("prompts", 200, int, "prompts for the model; 'following' plays a twelfth of them"),
        ("minutes", 10.0, float, "minutes of 'endless', at up to 5 prompts"),
        ("lessons", 400, int, "clips that the learned judges hear first (kept in the cache)"),
        ("seed", 0, int, "another one chooses other clips, prompts and noise"),
    ):
        parser.add_argument(
            f"--{name}", type=kind, default=default, metavar="N", help=f"{doc} (default {default})"
        )
    parser.add_argument(
        "--only",
        action="append",
        choices=PARTS,
        metavar="PART",
        help="; ".join(f"{name}: {doc}" for name, doc in PARTS.items()) + ". May be repeated",
    )
    parser.add_argument("--json", action="store_true", help="print the whole report as JSON")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the JSON here")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what names and loads a checkpoint."""
    parser.add_argument(
        "--model", default="pocket", metavar="DIR|ID", help="checkpoint (default: pocket)"
    )
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, mps")
    parser.add_argument(
        "--weights", default="auto", metavar="NAME", help="auto, fp32, bf16, fp16, int8 or int4"
    )
    parser.add_argument("--no-compile", dest="compile", action="store_false", help=NO_COMPILE)


def run(args: argparse.Namespace) -> int:
    """Measure; print the targets as a table, or the report as JSON."""
    from musicgen_rt.commands.step_progress import StepProgress
    from musicgen_rt.evaluate.pocket_report import PocketSettings, evaluate_pocket
    from musicgen_rt.evaluate.pocket_targets import Reached, table

    hush_libraries()
    names = ("model", "device", "weights", "compile", "clips", "prompts", "minutes", "lessons")
    settings = PocketSettings(
        **{name: getattr(args, name) for name in names},
        seed=args.seed,
        parts=tuple(args.only or ()),
    )
    with StepProgress(is_quiet=args.quiet) as progress:
        report = evaluate_pocket(settings, progress.update)
    text = json.dumps(report, indent=2)
    if args.out is not None:
        try:
            args.out.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise AudioFileError(f"{args.out} cannot be written: {error.strerror}") from error
    print(text if args.json else table([Reached(**row) for row in report["targets"]]))
    return 0
