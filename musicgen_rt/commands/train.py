"""`musicgen-rt train`: the stages from generated music to a checkpoint, each from a TOML file."""

from __future__ import annotations

import argparse
from pathlib import Path

from musicgen_rt.commands import hush_libraries, reports_errors

HELP = "train a codec, a language model or an adapter, and export it"

STAGES = {
    "data": "write clips of the music generator as WAV, JSON and MIDI",
    "encode": "encode generated clips, or a folder of audio, with a codec",
    "codec": "train a codec",
    "decoder": "tune a codec's decoder against a discriminator, its codes stay as they are",
    "lm": "train a language model, or fine-tune a checkpoint's",
    "adapter": "train frame conditioners onto a checkpoint that stays as it is",
    "export": "write a run as a checkpoint that can be played",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-command's arguments."""
    stages = "; ".join(f"{name}: {what}" for name, what in STAGES.items())
    parser.add_argument("stage", choices=STAGES, help=stages)
    parser.add_argument(
        "--config", required=True, type=Path, metavar="FILE", help="TOML file of the stages"
    )
    parser.add_argument(
        "--table", metavar="NAME", help="the file's table to use, by default that of the stage"
    )


@reports_errors
def run(args: argparse.Namespace) -> int:
    """Run one stage; a run that was stopped goes on."""
    from musicgen_rt.train.stages import run_stage

    hush_libraries()
    run_stage(args.stage, args.config, args.table)
    return 0
