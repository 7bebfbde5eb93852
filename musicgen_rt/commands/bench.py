"""`musicgen-rt bench`: how fast a checkpoint plays on this machine, and what it takes."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from musicgen_rt.commands import NO_COMPILE, hush_libraries, reports_errors
from musicgen_rt.errors import ParameterError

if TYPE_CHECKING:
    from musicgen_rt.offline.bench import BenchOptions

HELP = "measure speed, latency, memory and the cost of weight formats"

_DEFAULT_LIKE = "facebook/musicgen-small"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-command's arguments."""
    model = parser.add_argument_group("what to measure")
    model.add_argument(
        "--model", metavar="DIR|ID", help="checkpoint: a folder or a hub id (default pocket)"
    )
    model.add_argument(
        "--random-weights",
        action="store_true",
        help="instead of --model: random weights, written once to the cache folder",
    )
    model.add_argument("--like", metavar="ID", help=f"their shapes (default {_DEFAULT_LIKE})")
    model.add_argument("--tiny", action="store_true", help="in small dimensions, to try it out")
    model.add_argument(
        "--weights",
        default="auto",
        metavar="A,B,...",
        help="formats to measure in one run: fp32, bf16, fp16, int8, int4 (default: auto)",
    )
    _add_settings(parser.add_argument_group("how to measure"))
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def _add_settings(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, mps")
    group.add_argument("--threads", type=int, metavar="N", help="processor threads")
    group.add_argument("--no-compile", dest="compile", action="store_false", help=NO_COMPILE)
    group.add_argument("--cfg", type=float, default=3.0, metavar="N", help="guidance (default 3)")
    for name, default, doc in (
        ("context-frames", 500, "frames behind each step"),
        ("steps", 100, "steps of a measurement"),
        ("repetitions", 3, "measurements of each thing; the median counts"),
        ("reference-steps", 32, "steps of a turn beside transformers"),
    ):
        group.add_argument(
            f"--{name}", type=int, default=default, metavar="N", help=f"{doc} (default {default})"
        )
    group.add_argument(
        "--reference",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="do the same work by transformers' generate, in turns (it has no MAGNeT)",
    )
    group.add_argument(
        "--quality",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="compare logits with fp32, which must fit into memory for it (not of a MAGNeT)",
    )


@reports_errors
def run(args: argparse.Namespace) -> int:
    """Measure, and print a table or JSON."""
    _check(args)
    import torch

    from musicgen_rt.offline.bench import random_checkpoint, run_bench
    from musicgen_rt.offline.bench_blocks import is_masked
    from musicgen_rt.offline.bench_table import table

    hush_libraries()
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    options = _options(args)
    source = args.model or "pocket"
    if args.random_weights:
        like = args.like or _DEFAULT_LIKE
        source = str(random_checkpoint(like, tiny=args.tiny, report=_say))
    if is_masked(source):
        return _run_blocks(source, options, args)
    report = run_bench(
        source,
        options,
        has_random_weights=args.random_weights,
        report=None if args.quiet else _say,
    )
    print(json.dumps(report.to_json(), indent=2) if args.json else table(report))
    return 0


def _run_blocks(source: str, options: BenchOptions, args: argparse.Namespace) -> int:
    """The same for a model of masked codes, whose unit is a block and not a step."""
    from musicgen_rt.offline.bench_blocks import block_table, run_block_bench

    report = run_block_bench(
        source,
        options.weights,
        options.device,
        options.engine,
        has_random_weights=args.random_weights,
        report=None if args.quiet else _say,
    )
    print(json.dumps(report.to_json(), indent=2) if args.json else block_table(report))
    return 0


def _check(args: argparse.Namespace) -> None:
    """Raise ParameterError for what is wrong on its face, before torch is loaded."""
    if args.model is not None and args.random_weights:
        raise ParameterError("expected either --model or --random-weights, not both")
    if not args.random_weights and (args.like is not None or args.tiny):
        raise ParameterError("--like and --tiny go with --random-weights")
    if args.threads is not None and not 1 <= args.threads <= 1024:
        raise ParameterError(f"threads is {args.threads}: expected 1 to 1024")


def _options(args: argparse.Namespace) -> BenchOptions:
    from musicgen_rt.offline.bench import BenchOptions
    from musicgen_rt.offline.bench_engine import EngineBench

    return BenchOptions(
        weights=tuple(name.strip() for name in args.weights.split(",") if name.strip()),
        device=args.device,
        engine=EngineBench(
            cfg=args.cfg,
            context_frames=args.context_frames,
            steps=args.steps,
            repetitions=args.repetitions,
            compile=args.compile,
        ),
        has_reference=args.reference,
        reference_steps=args.reference_steps,
        has_quality=args.quality,
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
