"""`musicgen-rt evaluate audio`: a folder of generated music beside a folder of references."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from musicgen_rt.commands import hush_libraries
from musicgen_rt.commands.evaluate_output import (
    add_output_arguments,
    check_outputs,
    write_report,
)

HELP = "compare a folder of generated music with one of references: FAD, KL, CLAP, chroma, beats"

EMBEDDINGS = ("logmel", "vggish", "clap", "passt")
_SHOWN = (
    ("FAD", ("fad", "distance"), "{:.3f}"),
    ("FAD at infinity", ("fad", "infinity", "distance"), "{:.3f}"),
    ("KL, nats", ("kl", "mean_nats"), "{:.3f}"),
    ("CLAP score", ("clap", "mean_cosine"), "{:.3f}"),
    ("chroma cosine", ("music", "chroma_cosine_mean"), "{:.3f}"),
    ("tempo within 2 %", ("music", "tempo_within_2_percent"), "{:.2f}"),
    ("the same, octaves forgiven", ("music", "tempo_within_2_percent_octaves_forgiven"), "{:.2f}"),
    ("beats, F within 70 ms", ("music", "beat_f_mean"), "{:.2f}"),
    ("beats, median distance, ms", ("music", "beat_error_median_ms"), "{:.1f}"),
    ("loudness, median, LUFS", ("music", "loudness_median_lufs"), "{:.1f}"),
    ("loudness, loudest to quietest, dB", ("music", "loudness_spread_db"), "{:.1f}"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the measure's arguments."""
    parser.epilog = (
        "Files of the same name are pairs, for KL, chroma and beats. What a clip was asked to be "
        "is in NAME.txt or in the sidecar NAME.json of its render. Networks are downloaded by "
        "their own libraries (musicgen-rt[hearing]); logmel is built in and comparable with "
        "nothing published."
    )
    parser.add_argument("--ref", type=Path, required=True, metavar="DIR", help="real music")
    parser.add_argument("--gen", type=Path, required=True, metavar="DIR", help="generated music")
    parser.add_argument(
        "--embedding", choices=EMBEDDINGS, default="logmel", help="what FAD hears (default logmel)"
    )
    parser.add_argument("--kl", action="store_true", help="KL of PaSST's labels, for pairs")
    parser.add_argument("--clap", action="store_true", help="CLAP score, for clips with a caption")
    parser.add_argument(
        "--clap-model", metavar="DIR|ID", help="another CLAP, in transformers' layout"
    )
    parser.add_argument("--rate", type=int, metavar="HZ", help="bring all files to this rate first")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of FAD's subsets")
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Compare; print a table, or the report as JSON."""
    from musicgen_rt.commands.step_progress import StepProgress
    from musicgen_rt.evaluate.audio_networks import DEFAULT_CLAP
    from musicgen_rt.evaluate.audio_picture import draw_audio_report
    from musicgen_rt.evaluate.audio_report import AudioSettings, evaluate_audio

    hush_libraries()
    check_outputs(args)
    settings = AudioSettings(
        reference=args.ref,
        generated=args.gen,
        embedding=args.embedding,
        rate_hz=args.rate,
        with_kl=args.kl,
        with_clap=args.clap,
        clap=args.clap_model or DEFAULT_CLAP,
        seed=args.seed,
    )
    with StepProgress(is_quiet=args.quiet) as progress:
        report = evaluate_audio(settings, progress.update)
    if args.plot is not None:
        draw_audio_report(args.plot, report)
    write_report(args, report, _table(report))
    return 0


def _table(report: dict[str, Any]) -> str:
    """The figures that were had, a line each, and the warnings."""
    fad = report["fad"]
    lines = [f"embedding {fad['embedding']}: comparable with {fad['comparable_with']}"]
    for label, keys, form in _SHOWN:
        value: Any = report
        for key in keys:
            value = None if value is None else value[key]
        if value is not None:
            lines.append(f"{label:36}{form.format(value)}")
    return "\n".join([*lines, *(f"warning: {text}" for text in report["warnings"])])
