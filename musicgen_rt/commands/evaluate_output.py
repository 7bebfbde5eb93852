"""How measures give out their report: a table or JSON on stdout, JSON and a picture as files."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from musicgen_rt.errors import AudioFileError


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --json, --out, --plot and --quiet."""
    parser.add_argument("--json", action="store_true", help="print the whole report as JSON")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the JSON here")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw a picture")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def write_report(args: argparse.Namespace, report: Mapping[str, Any], table: str) -> None:
    """Give the report out as asked. Raises AudioFileError where it cannot be written."""
    text = json.dumps(report, indent=2, allow_nan=False)
    if args.out is not None:
        try:
            args.out.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise AudioFileError(f"{args.out} cannot be written: {error.strerror}") from error
    print(text if args.json else table)
