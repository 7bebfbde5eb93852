"""`musicgen-rt new-checkpoint`: a checkpoint of random weights, for tests and timings."""

from __future__ import annotations

import argparse
from pathlib import Path

from musicgen_rt.commands import reports_errors

HELP = "write a checkpoint with random weights in the shapes of an official one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-command's arguments."""
    parser.add_argument(
        "--like", required=True, metavar="ID", help="official checkpoint: facebook/musicgen-small"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="a new folder")
    parser.add_argument("--tiny", action="store_true", help="same structure, small dimensions")
    parser.add_argument(
        "--frame-conditioning", action="store_true", help="add clock, chroma and attributes"
    )
    parser.add_argument("--dtype", choices=("fp32", "bf16", "fp16"), default="fp32")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default 0")


@reports_errors
def run(args: argparse.Namespace) -> int:
    """Write the checkpoint and print its folder."""
    from musicgen_rt.model.new_checkpoint import write_checkpoint

    write_checkpoint(
        args.like,
        args.out,
        tiny=args.tiny,
        seed=args.seed,
        frame_conditioning=args.frame_conditioning,
        dtype=args.dtype,
    )
    print(args.out)
    return 0
