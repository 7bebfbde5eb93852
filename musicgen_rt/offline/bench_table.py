"""A benchmark's report for people: a column for each weight format."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from musicgen_rt.offline.bench import BenchReport
from musicgen_rt.offline.bench_figures import CodecFigures, FormatFigures


def table(report: BenchReport) -> str:
    """The report as lines of text, without a newline at the end."""
    lines = [
        *_heading(report),
        "",
        *_columns([["weights", *(one.weights for one in report.formats)], *_rows(report)]),
        "",
        _codec_line(report.codec),
    ]
    reference = report.formats[0].reference
    if reference is not None:
        lines.append(
            f"transformers: generate in {reference.dtype}, {reference.steps} steps and decoding "
            "on both sides, in turns"
        )
    if report.has_random_weights and report.options.has_quality:
        lines.append("the weights are random: their KL says little about real ones")
    return "\n".join(lines)


def _heading(report: BenchReport) -> tuple[str, str]:
    bench, machine = report.options.engine, report.machine
    memory = f"{machine['memory_read_gb_per_second']:.0f} GB/s of memory"
    place = machine["gpu"] or f"{machine['cpu']}, {machine['threads']} threads, {memory}"
    compiled = "" if bench.compile else ", not compiled"
    return (
        f"{report.model} on {place}, torch {machine['torch']}",
        (
            f"guidance {bench.cfg:g}, {bench.context_frames} frames of context{compiled}; "
            f"medians of {bench.repetitions}, {bench.steps} steps each"
        ),
    )


def _codec_line(codec: CodecFigures) -> str:
    line = (
        f"codec: {codec.streaming_ms_per_second.median:.0f} ms a second of audio in chunks of "
        f"{codec.chunk_frames} frames, {codec.batch_ms_per_second.median:.0f} ms at once "
        f"({codec.ratio:.2f} x)"
    )
    if codec.reference_batch_ms_per_second is None or codec.reference_ratio is None:
        return line
    theirs = codec.reference_batch_ms_per_second.median
    return f"{line}; transformers {theirs:.0f} ms at once ({codec.reference_ratio:.2f} x)"


def _rows(report: BenchReport) -> list[list[str]]:
    formats = report.formats
    rows = [
        _row("LM steps a second", formats, lambda one: f"{one.lm_steps_per_second.median:.1f}"),
        _row("x real time, with codec", formats, lambda one: f"{one.real_time_factor.median:.2f}"),
        _row("prefill of the context, ms", formats, lambda one: f"{one.prefill_ms.median:.0f}"),
        _row("prompt to first audio, ms", formats, lambda one: f"{one.first_audio_ms.median:.0f}"),
        _row("longest gap at a roll, ms", formats, lambda one: f"{one.roll.longest_gap_ms:.0f}"),
        _row("  the same, first roll", formats, lambda one: f"{one.roll.first_longest_gap_ms:.0f}"),
        _row("  usual gap, ms", formats, lambda one: f"{one.roll.median_gap_ms:.0f}"),
        _row("peak memory, MB", formats, _rss),
        _row("loading, s", formats, lambda one: f"{one.load_seconds:.1f}"),
    ]
    if any(one.memory.peak_cuda_mb is not None for one in formats):
        rows.append(_row("peak GPU memory, MB", formats, _cuda))
    if report.options.has_quality:
        rows.append(_row("KL from fp32, nats", formats, _kl))
    if report.options.has_reference:
        rows += [
            _row("beside transformers, steps a second", formats, _own),
            _row("  transformers", formats, _theirs),
            _row("  ratio", formats, _ratio),
        ]
    return rows


def _row(
    label: str, formats: Sequence[FormatFigures], cell: Callable[[FormatFigures], str]
) -> list[str]:
    return [label, *(cell(one) for one in formats)]


def _rss(one: FormatFigures) -> str:
    return "-" if one.memory.peak_rss_mb is None else f"{one.memory.peak_rss_mb:.0f}"


def _cuda(one: FormatFigures) -> str:
    return "-" if one.memory.peak_cuda_mb is None else f"{one.memory.peak_cuda_mb:.0f}"


def _kl(one: FormatFigures) -> str:
    return "-" if one.kl_nats is None else f"{one.kl_nats:.2g}"


def _own(one: FormatFigures) -> str:
    return "-" if one.reference is None else f"{one.reference.own_steps_per_second.median:.1f}"


def _theirs(one: FormatFigures) -> str:
    if one.reference is None:
        return "-"
    return f"{one.reference.reference_steps_per_second.median:.1f}"


def _ratio(one: FormatFigures) -> str:
    return "-" if one.reference is None else f"{one.reference.ratio:.1f}"


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows aligned: the first column to the left, all others to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
