"""`musicgen-rt convert`: an audiocraft checkpoint becomes one that this engine loads."""

from __future__ import annotations

import argparse
from pathlib import Path

from musicgen_rt.commands import hush_libraries, reports_errors

HELP = "turn an audiocraft checkpoint (MusicGen, AudioGen, MAGNeT) into safetensors"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-command's arguments."""
    parser.add_argument(
        "source",
        metavar="SRC",
        help="a folder with state_dict.bin and compression_state_dict.bin, or a hub id",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="a new folder")
    parser.add_argument(
        "--text-encoder",
        metavar="DIR|ID",
        help="the T5 to put beside it (default: the one that the checkpoint names, from the hub)",
    )
    parser.add_argument(
        "--codec",
        metavar="DIR|ID",
        help="an EnCodec in transformers' layout to take instead of the checkpoint's own",
    )


@reports_errors
def run(args: argparse.Namespace) -> int:
    """Convert and print the new folder."""
    hush_libraries()
    from musicgen_rt.convert.conversion import convert

    convert(args.source, args.out, text_encoder=args.text_encoder, codec=args.codec)
    print(args.out)
    return 0
