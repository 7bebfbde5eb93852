"""`musicgen-rt render`: music of any length to a file, with a sidecar that makes it again."""

from __future__ import annotations

import argparse
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from musicgen_rt.commands import hush_libraries, reports_errors
from musicgen_rt.commands.evaluate_output import check_picture
from musicgen_rt.errors import ParameterError, UnsupportedError
from musicgen_rt.live.prompt import Prompt
from musicgen_rt.live.score import PARAMETERS
from musicgen_rt.offline.recipe import NUMBERS

if TYPE_CHECKING:
    from musicgen_rt.commands.progress import AudioProgress
    from musicgen_rt.offline.render_job import Job

HELP = "render music of any length to a file, offline"

_WEIGHT_AT_END = re.compile(r"(?P<text>.*):(?P<weight>[+-]?(?:\d+\.?\d*|\.\d+))", re.DOTALL)
_RANDOM_SEEDS = 2**32
DEFAULT_MODEL = "pocket"
_ENGINE_PARAMETERS = ("cfg", "cfg_melody", "temperature", "top_k", "top_p")
_RECIPE_NUMBERS = {
    "bpm": "--bpm",
    "beats_per_bar": "--beats-per-bar",
    "window_seconds": "--window",
    "context_seconds": "--context",
    "threads": "--threads",
    "chunk_frames": "--chunk-frames",
    "loudness_lufs": "--loudness",
    "ceiling_dbtp": "--ceiling",
}
_WITHOUT_DEFAULT = (
    "bpm",
    "beats_per_bar",
    "window_seconds",
    "context_seconds",
    "loudness_lufs",
    "threads",
)
_PLAIN_VALUES = (
    "model",
    "seconds",
    "negative",
    "device",
    "weights",
    "compile",
    "includes_given",
    "rescorer",
    "asks_tempo",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-command's arguments. None means: not given."""
    parser.epilog = (
        "OUT.json, written beside the audio, holds all of this: `render --from OUT.json --out "
        "B.wav` makes the same tokens and samples, and what else is given then replaces what it "
        "says. Existing files are replaced once the new ones are complete."
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", required=True, help=".wav (float) or .flac (24 bits)"
    )
    parser.add_argument(
        "--model",
        metavar="DIR|ID|pocket",
        help="checkpoint: a folder, a hub id, or pocket, which ships with this (default)",
    )
    parser.add_argument("--seconds", type=float, metavar="N", help=_doc("seconds"))
    parser.add_argument(
        "--from",
        dest="from_sidecar",
        type=Path,
        metavar="OUT.json",
        help="render again what this file describes",
    )
    parser.add_argument(
        "--score",
        type=Path,
        metavar="SONG.toml",
        help="a song in sections, which takes the place of prompts, melody, tempo and length",
    )
    parser.add_argument("--tokens", type=Path, metavar="FILE.npy", help="save the codes [K, T] too")
    parser.add_argument("--no-clobber", action="store_true", help="refuse to replace files")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    _add_conditions(parser)
    _add_numbers(parser)


def _add_conditions(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to play")
    group.add_argument(
        "--prompt",
        action="append",
        metavar="TEXT[:WEIGHT]",
        help="up to 8, mixed by weight (default 1). Only a number right after the last colon is a "
        "weight; for a text that ends so, give the weight too: '16th hats 4:4:1'",
    )
    group.add_argument("--negative", metavar="TEXT", help="what to move away from")
    group.add_argument(
        "--ask-tempo",
        dest="asks_tempo",
        action=argparse.BooleanOptionalAction,
        help="add --bpm and the metre to prompts, if the model is not told the beats (default: "
        "yes)",
    )
    group.add_argument("--melody", type=Path, metavar="FILE", help="MIDI or audio to follow")
    group.add_argument("--melody-once", action="store_true", help="do not repeat the melody")
    group.add_argument(
        "--plot",
        type=Path,
        metavar="FILE.png",
        help="draw the asked melody over the chroma of what is heard, with the beats",
    )
    group.add_argument(
        "--continue",
        dest="continued",
        type=Path,
        metavar="FILE",
        help="go on from this audio, of any rate; of a long file its last window",
    )
    group.add_argument(
        "--include-given",
        dest="includes_given",
        action=argparse.BooleanOptionalAction,
        help="begin the output with the continued audio, as the codec renders it (default: yes)",
    )
    group.add_argument(
        "--attribute", action="append", metavar="NAME=on|off", help="for checkpoints that have any"
    )


def _add_numbers(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how to play it")
    group.add_argument("--seed", metavar="N", help="whole number or 'random' (default 0)")
    for name in _ENGINE_PARAMETERS:
        parameter = PARAMETERS[name]
        group.add_argument(
            f"--{name.replace('_', '-')}",
            type=int if parameter.is_whole else float,
            metavar="N",
            help=f"{parameter.doc} ({_range(parameter.low, parameter.high, parameter.default)})",
        )
    group.add_argument("--greedy", action="store_true", help="always the likeliest token")
    for name, option in _RECIPE_NUMBERS.items():
        kind = int if NUMBERS[name].is_whole else float
        group.add_argument(option, dest=name, type=kind, metavar="N", help=_doc(name))
    group.add_argument(
        "--rescorer",
        metavar="DIR|ID",
        help="a MusicGen of the same codec that judges along what a MAGNeT makes",
    )
    group.add_argument("--device", metavar="NAME", help="auto, cpu, cuda, cuda:N or mps")
    group.add_argument("--weights", metavar="NAME", help="auto, fp32, bf16, fp16, int8 or int4")
    group.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        help="on a CPU, a step compiled for it, once and in a few seconds (default: yes)",
    )


@reports_errors
def run(args: argparse.Namespace) -> int:
    """Render, print the audio's name, and on stderr how it went."""
    job = job_from(args)
    # Only now: torch takes seconds to load, and wrong arguments are told without it.
    from musicgen_rt.commands.progress import AudioProgress
    from musicgen_rt.offline.render_job import run_job

    hush_libraries()
    draw = None if args.plot is None else _drawing(args)
    with AudioProgress("rendering") as progress:
        listener = _Listener(progress, is_quiet=args.quiet)
        made = run_job(job, listener)
    speed = made.new_seconds / made.took_seconds
    listener.note(f"{made.new_seconds:.1f} s in {made.took_seconds:.1f} s: {speed:.2f} x real time")
    if draw is not None:
        draw(job.audio, args.plot, made.given_samples)
    print(job.audio)
    return 0


def _drawing(args: argparse.Namespace) -> Callable[[Path, Path, int], None]:
    """What draws the picture; what hinders it is told before anything is rendered."""
    try:
        from musicgen_rt.evaluate.melody_render import draw_render, require_melody_of
    except ModuleNotFoundError as error:
        raise UnsupportedError(
            f"--plot needs {error.name}: install musicgen-rt[evaluate]"
        ) from error
    if args.melody is None:
        if args.from_sidecar is None:
            raise ParameterError("--plot draws a melody: expected --melody")
        require_melody_of(args.from_sidecar)
    check_picture(args.plot)
    return draw_render


class _Listener:
    """Shows a job's progress and prints its notes."""

    def __init__(self, progress: AudioProgress, *, is_quiet: bool) -> None:
        self._progress = progress
        self._is_quiet = is_quiet

    def loading(self, part: str, done: int, total: int) -> None:
        if not self._is_quiet:
            self._progress.load(part, done, total)

    def rendering(self, done_seconds: float, total_seconds: float) -> None:
        if not self._is_quiet:
            self._progress.update(done_seconds, total_seconds)

    def note(self, text: str) -> None:
        self._progress.note(text)


def job_from(args: argparse.Namespace) -> Job:
    """The job that parsed arguments ask for. Raises ParameterError."""
    values: dict[str, Any] = {
        name: getattr(args, name)
        for name in (*_PLAIN_VALUES, *_RECIPE_NUMBERS)
        if getattr(args, name) is not None
    }
    if args.score is not None:
        values |= _song_values(args)
    if args.from_sidecar is None:
        values.setdefault("model", DEFAULT_MODEL)
        values.setdefault("asks_tempo", True)
    if args.prompt is not None:
        values["prompts"] = tuple(parse_prompt(text) for text in args.prompt)
    values["attributes"] = dict(_attribute(text) for text in args.attribute or ())
    values["parameters"] = _parameters(args)
    _check(args, values)
    from musicgen_rt.offline.render_job import Job

    return Job(
        audio=args.out,
        tokens=args.tokens,
        from_sidecar=args.from_sidecar,
        values=values,
        melody=args.melody,
        loops_melody=not args.melody_once,
        continued=args.continued,
        may_replace=not args.no_clobber,
    )


def parse_prompt(argument: str) -> Prompt:
    """`TEXT` or `TEXT:WEIGHT`: a plain number right after the last colon is the weight.

    'drums: 4 on the floor' and 'tempo: 120' have no weight, 'techno:0.5' has, and '4:3:1' is the
    text '4:3' with the weight 1.
    """
    match = _WEIGHT_AT_END.fullmatch(argument)
    if match is None:
        return Prompt(argument)
    return Prompt(match["text"], float(match["weight"]))


def _song_values(args: argparse.Namespace) -> dict[str, Any]:
    """The song, and the checkpoint that it names unless another one is asked for."""
    from musicgen_rt.live.song_file import read_song

    for name in ("seconds", "melody", "from_sidecar"):
        if getattr(args, name) is not None:
            option = "--from" if name == "from_sidecar" else f"--{name}"
            raise ParameterError(f"{option} and --score are given: expected one of them")
    read = read_song(args.score)
    names_model = read.model is not None and args.model is None
    return {"song": read.song, **({"model": read.model} if names_model else {})}


def _parameters(args: argparse.Namespace) -> dict[str, float]:
    """Those of the engine that were given, the seed among them."""
    given = {name: getattr(args, name) for name in _ENGINE_PARAMETERS}
    parameters = {name: value for name, value in given.items() if value is not None}
    if args.greedy:
        if args.temperature is not None:
            raise ParameterError("--greedy and --temperature are given: expected one of them")
        parameters["temperature"] = 0.0
    if args.seed is not None:
        parameters["seed"] = _seed(args.seed)
    return parameters


def _seed(text: str) -> int:
    if text == "random":
        return secrets.randbelow(_RANDOM_SEEDS)
    try:
        return int(text)
    except ValueError:
        high = int(PARAMETERS["seed"].high)
        raise ParameterError(f"seed is {text!r}: expected 0 to {high}, or 'random'") from None


def _attribute(text: str) -> tuple[str, bool]:
    name, _, state = text.partition("=")
    if not name or state not in ("on", "off"):
        raise ParameterError(f"attribute {text!r}: expected NAME=on or NAME=off")
    return name, state == "on"


def _check(args: argparse.Namespace, values: dict[str, Any]) -> None:
    """Raise ParameterError for what is wrong on its face, before torch is loaded."""
    is_new = args.from_sidecar is None
    if is_new and "cfg_melody" in values["parameters"] and args.melody is None:
        raise ParameterError("--cfg-melody weighs the text over a melody: expected --melody")
    if args.melody_once and args.melody is None:
        raise ParameterError("--melody-once is given without --melody")
    for name in ("seconds", *_RECIPE_NUMBERS):
        if name in values:
            NUMBERS[name].check(name, values[name])
    for name, value in values["parameters"].items():
        PARAMETERS[name].check(name, value)


def _doc(name: str) -> str:
    """The help of a recipe's number."""
    number = NUMBERS[name]
    default = None if name in _WITHOUT_DEFAULT else number.default
    return f"{number.doc} ({_range(number.low, number.high, default)})"


def _range(low: float, high: float, default: float | None) -> str:
    end = "" if default is None else f", default {default:g}"
    return f"{low:g} to {high:g}{end}"
