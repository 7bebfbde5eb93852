"""The figures of a codec over clips, and the table in which codecs are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from musicgen_rt.errors import ParameterError
from musicgen_rt.evaluate import audio_distance
from musicgen_rt.evaluate.audio_distance import Samples
from musicgen_rt.train.codec_quantizer import perplexities


@dataclass(frozen=True)
class HeldOutClip:
    """Samples [N] at `rate_hz` and the spans in seconds where a lead note sounds."""

    samples: Samples
    rate_hz: int
    lead_spans_seconds: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class CodecReport:
    """The figures over all clips. Line figures are in dB over the surrounding bins.

    `high_band_db` is the level above 8 kHz relative to the original's.
    """

    clips: int
    si_sdr_db: float
    si_sdr_lowest_tenth_db: float
    chroma_agreement: float
    lead_frames: int
    onset_f: float
    log_mel_distance_db: float
    perplexities: tuple[float, ...]
    lowest_perplexity_part: float
    lines_decoded_db: float
    lines_original_db: float
    worst_line_decoded_db: float
    worst_line_original_db: float
    high_band_db: float


class ReportTotals:
    """The sums over clips that a report is made of. [one thread]"""

    def __init__(self) -> None:
        self.si_sdrs: list[float] = []
        self.mel_distances: list[float] = []
        self.chroma = np.zeros(2, dtype=np.int64)
        self.onsets = np.zeros(3, dtype=np.int64)
        self.codes: list[Tensor] = []
        self.spectra: list[tuple[np.ndarray, np.ndarray]] = []
        self.rate_hz = 0

    def add(self, clip: HeldOutClip, original: Samples, decoded: Samples, codes: Tensor) -> None:
        """Compares decoded with original samples [N], coded as [1, K, T]."""
        rate_hz = self.rate_hz = clip.rate_hz
        self.si_sdrs.append(audio_distance.si_sdr_db(decoded, original))
        self.mel_distances.append(audio_distance.log_mel_distance_db(decoded, original, rate_hz))
        spans = clip.lead_spans_seconds
        self.chroma += audio_distance.chroma_agreement(decoded, original, rate_hz, spans)
        self.onsets += audio_distance.onset_counts(decoded, original, rate_hz)
        self.codes.append(codes)
        pair = (decoded, original)
        ours, theirs = (audio_distance.power_spectrum(audio, rate_hz) for audio in pair)
        self.spectra.append((ours, theirs))

    def report(self, codebook_size: int, hop_samples: int) -> CodecReport:
        """The figures. Raises ParameterError without clips."""
        if not self.si_sdrs:
            raise ParameterError("0 clips were given; a report needs 1 or more")
        used = perplexities(torch.cat(self.codes, dim=2), codebook_size)
        spacing_hz = self.rate_hz // hop_samples
        # The mean over clips of each line's excess: a loud clip counts no more than others.
        ours, theirs = (
            np.mean(
                [audio_distance.line_excess_db(pair[side], spacing_hz) for pair in self.spectra],
                axis=0,
            )
            for side in (0, 1)
        )
        matched, found, expected = (int(count) for count in self.onsets)
        agreeing, frames = (int(count) for count in self.chroma)
        figures = {
            "si_sdr_db": np.mean(self.si_sdrs),
            "si_sdr_lowest_tenth_db": np.quantile(self.si_sdrs, 0.1),
            "chroma_agreement": agreeing / max(frames, 1),
            "onset_f": 2 * matched / max(found + expected, 1),
            "log_mel_distance_db": np.mean(self.mel_distances),
            "lowest_perplexity_part": min(used) / codebook_size,
            "lines_decoded_db": ours.mean(),
            "lines_original_db": theirs.mean(),
            "worst_line_decoded_db": ours.max(),
            "worst_line_original_db": theirs.max(),
            "high_band_db": np.mean([audio_distance.high_band_db(*pair) for pair in self.spectra]),
        }
        return CodecReport(
            clips=len(self.si_sdrs),
            lead_frames=frames,
            perplexities=tuple(round(value, 1) for value in used),
            **{name: round(float(value), 4) for name, value in figures.items()},
        )


# Heading, field of the report, format.
_COLUMNS = (
    ("SI-SDR, dB", "si_sdr_db", ".2f"),
    ("chroma", "chroma_agreement", ".3f"),
    ("onset F", "onset_f", ".3f"),
    ("log-mel distance, dB", "log_mel_distance_db", ".2f"),
    ("lines, dB", "lines_decoded_db", ".2f"),
    ("worst line, dB", "worst_line_decoded_db", ".2f"),
    ("above 8 kHz, dB", "high_band_db", "+.2f"),
)


def comparison_table(reports: Mapping[str, CodecReport]) -> str:
    """A markdown table with a row a codec; the last row is the original audio itself."""
    headings = ("codec", *(heading for heading, _, _ in _COLUMNS))
    rows = [
        (name, *(format(getattr(report, field), spec) for _, field, spec in _COLUMNS))
        for name, report in reports.items()
    ]
    report = next(iter(reports.values()))
    lines = (report.lines_original_db, report.worst_line_original_db)
    rows.append(("the original", "", "1", "1", "0", *(f"{line:.2f}" for line in lines), "0"))
    rule = ("---", *("---:" for _ in _COLUMNS))
    return "\n".join("| " + " | ".join(row) + " |" for row in (headings, rule, *rows))
