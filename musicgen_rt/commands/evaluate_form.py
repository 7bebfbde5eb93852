"""`musicgen-rt evaluate form`: does a song that was rendered keep to its form?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from musicgen_rt.commands import hush_libraries
from musicgen_rt.commands.evaluate_output import add_output_arguments, write_report

HELP = "judge a rendered song: recalled sections, boundaries, tempo and loudness"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the measure's arguments."""
    parser.add_argument("audio", type=Path, metavar="FILE", help="what render --score wrote")
    parser.add_argument(
        "--sidecar", type=Path, metavar="FILE.json", help="where its form is (default: beside it)"
    )
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Judge; print a table, or the report as JSON."""
    from musicgen_rt.commands.step_progress import StepProgress
    from musicgen_rt.evaluate.form_picture import draw_form
    from musicgen_rt.evaluate.form_report import form_report, hear_form, rendered_song

    hush_libraries()
    form = hear_form(rendered_song(args.audio, args.sidecar))
    with StepProgress(is_quiet=args.quiet) as progress:
        report = form_report(form, progress.update)
    if args.plot is not None:
        draw_form(args.plot, form)
    write_report(args, report, _table(report))
    return 0


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
    summary = report["summary"]
    lines.append(
        f"{summary['recalls_closer']} of {summary['recalls']} recalled sections are closer to "
        "their first statement than to any unrelated section"
    )
    return "\n".join(lines)
