"""The sub-commands of `musicgen-rt`: one light module each, with HELP, add_arguments and run."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable

from musicgen_rt.errors import MusicgenRTError, ParameterError

FAILED = 1
MISUSED = 2

NO_COMPILE = "on a CPU, torch's operators instead of the step compiled for it"

Run = Callable[[argparse.Namespace], int]


def reports_errors(run: Run) -> Run:
    """Turn a command's MusicgenRTError into one line on stderr and an exit code.

    The code is 2 for a parameter that is out of range, as for arguments that do not parse, and 1
    for all else. With `--debug` the error passes, so that its traceback can be seen.
    """

    @functools.wraps(run)
    def reporting(args: argparse.Namespace) -> int:
        try:
            return run(args)
        except MusicgenRTError as error:
            if getattr(args, "debug", False):
                raise
            print(f"musicgen-rt: error: {one_line(str(error))}", file=sys.stderr)
            return MISUSED if isinstance(error, ParameterError) else FAILED

    return reporting


def hush_libraries() -> None:
    """Keep libraries from bars of their own and from remarks that no user can act on."""
    import logging

    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    # Compiling for the CPU on a machine with CUDA's compiler but without a GPU.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)


def one_line(text: str) -> str:
    """The text with every run of white space as one space and no control characters."""
    words = " ".join(text.split())
    return "".join(character if character.isprintable() else "?" for character in words)
