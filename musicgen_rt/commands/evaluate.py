"""`musicgen-rt evaluate`: measures, each a sub-command of its own.

A measure is a light module with HELP, add_arguments(parser) and run(args), as commands are. To add
one, put it into `MEASURES`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Protocol

from musicgen_rt.commands import (
    evaluate_audio,
    evaluate_beatlock,
    evaluate_demos,
    evaluate_form,
    evaluate_latency,
    evaluate_melody,
    evaluate_pocket,
    evaluate_recovery,
    evaluate_siege,
    evaluate_stage,
    evaluate_sync,
    reports_errors,
)
from musicgen_rt.errors import UnsupportedError

HELP = "measure how good a model is, or let it play for judging by ear"


class Measure(Protocol):
    """What a module of `MEASURES` offers."""

    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the measure's arguments."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it; the exit code."""


# What the extra `evaluate` installs.
_EXTRA_MODULES = ("librosa", "matplotlib", "sklearn")

MEASURES: Mapping[str, Measure] = {
    "pocket": evaluate_pocket,
    "demos": evaluate_demos,
    "audio": evaluate_audio,
    "form": evaluate_form,
    "stage": evaluate_stage,
    "sync": evaluate_sync,
    "latency": evaluate_latency,
    "siege": evaluate_siege,
    "recovery": evaluate_recovery,
    "beatlock": evaluate_beatlock,
    "melody": evaluate_melody,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare a sub-parser a measure."""
    measures = parser.add_subparsers(dest="measure", metavar="MEASURE", required=True)
    for name, measure in MEASURES.items():
        text = measure.HELP
        sub = measures.add_parser(
            name, help=text, description=f"{text[:1].upper()}{text[1:]}.", allow_abbrev=False
        )
        measure.add_arguments(sub)


@reports_errors
def run(args: argparse.Namespace) -> int:
    """Run the chosen measure."""
    try:
        return MEASURES[args.measure].run(args)
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA_MODULES:
            raise
        raise UnsupportedError(
            f"measuring needs {error.name}: install musicgen-rt[evaluate]"
        ) from error
