"""`musicgen-rt evaluate form`: does a song that was rendered keep to its form?"""

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
from musicgen_rt.errors import ParameterError

HELP = "judge a rendered song: recalled sections, boundaries, tempo and loudness"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the measure's arguments."""
    parser.add_argument("audio", type=Path, metavar="FILE", help="what render --score wrote")
    parser.add_argument(
        "--sidecar", type=Path, metavar="FILE.json", help="where its form is (default: beside it)"
    )
    parser.add_argument(
        "--score",
        type=Path,
        metavar="SONG.toml",
        help="render this to FILE first, and once more with its recalls written out as copies",
    )
    parser.add_argument(
        "--model", metavar="DIR|ID|pocket", help="with --score: default the song's, or pocket"
    )
    parser.add_argument(
        "--weights", metavar="NAME", help="with --score: auto (default), fp32, int8, ..."
    )
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Judge; print a table, or the report as JSON."""
    from musicgen_rt.commands.step_progress import StepProgress
    from musicgen_rt.evaluate.form_picture import draw_form
    from musicgen_rt.evaluate.form_render import SongRender, render_both
    from musicgen_rt.evaluate.form_report import form_report, hear_form, recalls_of, rendered_song
    from musicgen_rt.offline.sidecar import sidecar_path

    hush_libraries()
    _check(args)
    with StepProgress(is_quiet=args.quiet) as progress:
        copies = None
        if args.score is not None:
            asked = SongRender(args.score, args.audio, args.model, args.weights or "auto")
            render_both(asked, progress.update)
            # Which section is like which the song says, not the copies.
            copies = hear_form(rendered_song(asked.copies, sidecar_path(args.audio)))
        form = hear_form(rendered_song(args.audio, args.sidecar))
        report = form_report(form, progress.update)
        if copies is not None:
            report["copies"] = recalls_of(copies)
    if args.plot is not None:
        draw_form(args.plot, form)
    write_report(args, report, _table(report))
    return 0


def _check(args: argparse.Namespace) -> None:
    """Raise ParameterError for options that do not go together, and what outputs lack."""
    if args.score is None and (args.model is not None or args.weights is not None):
        raise ParameterError("--model and --weights go with --score: expected --score SONG.toml")
    if args.score is not None and args.sidecar is not None:
        raise ParameterError("--sidecar and --score are given: expected one of them")
    check_outputs(args)


def _table(report: dict[str, Any]) -> str:
    """Each recall and each section on a line, then what they come to."""
    lines = [f"{report['title']}: {report['bars']} bars, {report['seconds']:.1f} s"]
    for one in report["recalls"]["both"]:
        beside = ""
        if one["unrelated"] is not None:
            beside = f", {one['unrelated_similarity']:.2f} to {one['unrelated']}"
        verdict = "closer to it" if one["is_closer"] else "NOT closer to it"
        lines.append(
            f"{one['name']}: {one['similarity']:.2f} to {one['first_statement']}{beside}: {verdict}"
        )
    for row in report["sections"]:
        beats, lufs = row["beats"], row["loudness_lufs"]
        pulse = "no clear pulse"
        if beats is not None and beats["is_clear"]:
            pulse = f"tempo {beats['tempo_error']:+.2%}, beats {beats['late_ms']:+.0f} ms"
        level = "silent" if lufs is None else f"{lufs:.1f} LUFS"
        lines.append(f"{row['name']}: bar {row['first_bar'] + 1}, {level}, {pulse}")
    if "copies" in report:
        lines += _beside_copies(report)
    summary = report["summary"]
    lines.append(
        f"{summary['recalls_closer']} of {summary['recalls']} recalled sections are closer to "
        "their first statement than to any unrelated section"
    )
    return "\n".join(lines)


def _beside_copies(report: dict[str, Any]) -> list[str]:
    """How alike recalled sections and their first statements are, with memory and without."""
    lines = []
    for name, remembered in report["recalls"].items():
        spans = [
            f"{min(values):.2f} to {max(values):.2f}"
            for recalls in (remembered, report["copies"][name])
            if (values := [one["similarity"] for one in recalls])
        ]
        lines += [f"{name}: {', as copies '.join(spans)}"] if spans else []
    return lines
