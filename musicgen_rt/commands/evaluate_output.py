"""How measures give out their report: a table or JSON on stdout, JSON and a picture as files."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from musicgen_rt.errors import AudioFileError, ParameterError, UnsupportedError
from musicgen_rt.offline.staged_files import check_writable

PICTURES = (".png", ".svg", ".pdf")


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --json, --out, --plot and --quiet."""
    parser.add_argument("--json", action="store_true", help="print the whole report as JSON")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the JSON here")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw a picture")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def check_outputs(args: argparse.Namespace) -> None:
    """Raise now what would hinder the files that `args` ask for once all work is done.

    ParameterError for a folder's name or one of no picture, AudioFileError for a place that cannot
    be written to, UnsupportedError without matplotlib.
    """
    if args.out is not None:
        check_file(args.out)
    if args.plot is not None:
        check_picture(args.plot)


def check_picture(path: Path) -> None:
    """Raise ParameterError, AudioFileError or UnsupportedError unless one can be drawn there."""
    if path.suffix.lower() not in PICTURES:
        raise ParameterError(f"--plot {path}: expected a name that ends in {', '.join(PICTURES)}")
    check_file(path)
    if find_spec("matplotlib") is None:
        raise UnsupportedError("drawing needs matplotlib: install musicgen-rt[evaluate]")


def check_file(path: Path) -> None:
    """Raise ParameterError for a folder, AudioFileError where nothing can be written."""
    if path.is_dir():
        raise ParameterError(f"{path} is a folder: expected the name of a file")
    check_writable(path)


def write_report(args: argparse.Namespace, report: Mapping[str, Any], table: str) -> None:
    """Give the report out as asked. Raises AudioFileError where it cannot be written."""
    text = json.dumps(report, indent=2, allow_nan=False)
    if args.out is not None:
        try:
            args.out.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise AudioFileError(f"{args.out} cannot be written: {error.strerror}") from error
    print(text if args.json else table)
