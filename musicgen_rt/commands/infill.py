"""`musicgen-rt infill`: a stretch of a recording made anew between the rest of it."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from musicgen_rt.commands import hush_libraries, reports_errors
from musicgen_rt.errors import ParameterError

if TYPE_CHECKING:
    from musicgen_rt.offline.infill_file import Stretch

HELP = "make bars of a recording anew between the others (MAGNeT checkpoints)"

_NUMBER = r"\d+(?:\.\d+)?"
_SECONDS = re.compile(rf"({_NUMBER})-({_NUMBER})")
_BARS = re.compile(r"(\d+)(?:-(\d+))?")
_PARAMETERS = ("cfg", "temperature", "top_k", "top_p", "seed")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-command's arguments."""
    parser.add_argument("audio", type=Path, metavar="AUDIO", help="a .wav, .flac or .ogg file")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help=".wav or .flac")
    parser.add_argument("--model", required=True, metavar="DIR", help="a MAGNeT, converted")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--seconds", metavar="A-B", help="what to make anew: 4-8")
    where.add_argument("--bars", metavar="A-B", help="the same in bars from 1 on: 3-4; needs --bpm")
    parser.add_argument("--bpm", type=float, metavar="N", help="tempo of the recording")
    parser.add_argument("--beats-per-bar", type=int, default=4, metavar="N", help="default 4")
    parser.add_argument("--prompt", metavar="TEXT", help="what to play there")
    for name in _PARAMETERS:
        kind = int if name in ("top_k", "seed") else float
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=kind, metavar="N", help="as in `render`")
    parser.add_argument(
        "--rescorer", metavar="DIR|ID", help="a MusicGen of the same codec that judges along"
    )
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, mps")
    parser.add_argument("--weights", default="auto", metavar="NAME", help="auto, fp32, bf16, ...")


@reports_errors
def run(args: argparse.Namespace) -> int:
    """Fill the stretch and print the name of the file."""
    hush_libraries()
    from musicgen_rt.offline.infill_file import InfillJob, run_infill

    given = {name: getattr(args, name) for name in _PARAMETERS}
    run_infill(
        InfillJob(
            model=args.model,
            audio=args.audio,
            out=args.out,
            stretch=_stretch(args),
            prompt=args.prompt,
            parameters={name: value for name, value in given.items() if value is not None},
            rescorer=args.rescorer,
            device=args.device,
            weights=args.weights,
        )
    )
    print(args.out)
    return 0


def _stretch(args: argparse.Namespace) -> Stretch:
    from musicgen_rt.offline.infill_file import Stretch

    if args.seconds is not None:
        match = _SECONDS.fullmatch(args.seconds)
        if match is None:
            raise ParameterError(f"--seconds {args.seconds!r}: expected A-B, such as 4-8")
        return Stretch(float(match[1]), float(match[2]))
    match = _BARS.fullmatch(args.bars)
    if match is None:
        raise ParameterError(f"--bars {args.bars!r}: expected A-B, such as 3-4, or one bar")
    if args.bpm is None:
        raise ParameterError("--bars without --bpm: expected the tempo of the recording")
    return Stretch.of_bars(int(match[1]), int(match[2] or match[1]), args.bpm, args.beats_per_bar)
