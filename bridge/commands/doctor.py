"""`musicgen-rt doctor`: is this machine ready to play, and if not, what to do."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

HELP = "check devices, ports, GPU, libraries and models, and say what to do"

PROBLEM = 1
MISUSED = 2

_MARKS = {"good": "ok", "note": "--", "problem": "!!"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="the settings that jam is given"
    )
    parser.add_argument("--model", metavar="pocket|ID|DIR", help="the model that jam is given")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Check, print, and tell by the exit code: 1 if something keeps from playing."""
    from bridge.config import ConfigError, read_config
    from bridge.doctor import Verdict, findings

    try:
        config = read_config(args.config, {"model.source": args.model})
    except ConfigError as error:
        print(f"musicgen-rt: error: {error}", file=sys.stderr)
        return MISUSED
    found = []
    for one in findings(config):
        found.append(one)
        if not args.json:
            print(f"{_MARKS[one.verdict]}  {one.part:<10} {one.text}", flush=True)
            if one.remedy:
                print(f"                 {one.remedy}", flush=True)
    problems = sum(one.verdict is Verdict.PROBLEM for one in found)
    if args.json:
        print(json.dumps([asdict(one) for one in found], indent=2))
    else:
        print(f"{problems} problems" if problems else "ready to play: musicgen-rt jam")
    return PROBLEM if problems else 0
