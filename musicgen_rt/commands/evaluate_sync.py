"""`musicgen-rt evaluate sync`: how far from the host's bar lines does the daemon act?"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

HELP = "follow a JACK host, and measure marks in the recording against its bars (needs jackd)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the measure's arguments."""
    parser.add_argument(
        "--bpm", type=float, nargs="+", default=[120.0], metavar="N", help="tempi (default 120)"
    )
    parser.add_argument(
        "--rate", type=int, nargs="+", default=[48000], metavar="HZ", help="rates (default 48000)"
    )
    parser.add_argument(
        "--period", type=int, nargs="+", default=[512], metavar="N", help="frames (default 512)"
    )
    parser.add_argument(
        "--events",
        type=int,
        default=100,
        metavar="N",
        help="marks in all, spread over the conditions: more where bars are short (default 100)",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def run(args: argparse.Namespace) -> int:
    """Measure each tempo at each rate and period; 1 if a mark is further off than 3 ms."""
    from musicgen_rt.commands.step_progress import StepProgress
    from musicgen_rt.evaluate.sync import MAX_ERROR_MS, evaluate_sync, spread

    reports: list[dict[str, Any]] = []
    conditions = spread(args.bpm, args.rate, args.period, args.events)
    with (
        tempfile.TemporaryDirectory(prefix="musicgen-rt-sync-") as folder,
        StepProgress(is_quiet=args.quiet) as progress,
    ):
        for number, condition in enumerate(conditions):
            run_folder = Path(folder) / str(number)
            reports.append(evaluate_sync(condition, run_folder, progress.update))
            if not args.quiet:
                print(_line(reports[-1]), file=sys.stderr, flush=True)
    worst_ms = max((report.get("worst_ms", 0.0) for report in reports), default=0.0)
    marks = sum(report["marks"] for report in reports)
    if args.json:
        totals = {"marks": marks, "worst_ms": worst_ms}
        print(json.dumps({**totals, "conditions": reports}, indent=2))
    else:
        print(_HEADING, *map(_line, reports), sep="\n")
    return 1 if worst_ms > MAX_ERROR_MS or marks < args.events else 0


_HEADING = (
    f"{'BPM':>6} {'Hz':>6} {'frames':>6} {'marks':>6} {'median':>8} {'p95':>7} {'worst':>7} ms"
    "  periods missed, marks beside them, faults"
)


def _line(one: dict[str, Any]) -> str:
    figures = " ".join(
        f"{one.get(name, float('nan')):7.2f}" for name in ("median_ms", "p95_ms", "worst_ms")
    )
    place = f"{one['bpm']:6g} {one['rate_hz']:6} {one['period_frames']:6}"
    beside = one["disturbed"]["count"] + one["lost_marks"]
    trouble = f"{one['missed_periods']:6} {beside:4} {len(one['faults']):4}"
    reason = f"  {one['faults'][-1]}" if one["marks"] < one["asked_marks"] and one["faults"] else ""
    return f"{place} {one['marks']:6}  {figures}  {trouble}{reason}"
