"""Judges codecs on clips that they were not trained on: one as JSON, several as a table.

python -m musicgen_rt.evaluate.codec --run RUN [--clips 32] [--live] [--out FILE]
python -m musicgen_rt.evaluate.codec --compare RUN RUN ... [--clips 32] [--live] [--out FILE]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from musicgen_rt.errors import ParameterError
from musicgen_rt.evaluate.codec_report import (
    CodecReport,
    HeldOutClip,
    ReportTotals,
    comparison_table,
)
from musicgen_rt.train.codec_saved import load_codec
from musicgen_rt.train.music import generate_clip

# Training seeds stay below a thousand million; these are never trained on.
HELD_OUT_FIRST_SEED = 2_000_000_000
_CLIP_SECONDS = 8.0
# A clip quieter than this (RMS) has no music to judge.
_SILENCE_RMS = 1e-3


class TwoWayCodec(Protocol):
    """What is judged: audio [B, 1, N] to codes [B, K, T] and back."""

    def encode(self, audio: Tensor) -> Tensor: ...

    def decode(self, codes: Tensor) -> Tensor: ...


def held_out_clips(count: int, rate_hz: int) -> Iterable[HeldOutClip]:
    """Clips of seeds that no training run uses; silent ones are passed over."""
    seed, made = HELD_OUT_FIRST_SEED, 0
    while made < count:
        clip = generate_clip(seed, _CLIP_SECONDS, rate_hz)
        seed += 1
        if float(np.sqrt(np.mean(clip.samples**2))) < _SILENCE_RMS:
            continue
        spans = tuple((note.start_seconds, note.end_seconds) for note in clip.truth.lead_notes)
        yield HeldOutClip(clip.samples, rate_hz, spans)
        made += 1


def evaluate_codec(
    codec: TwoWayCodec,
    clips: Iterable[HeldOutClip],
    codebook_size: int,
    hop_samples: int,
) -> CodecReport:
    """Encodes and decodes each clip and compares. Raises ParameterError without clips."""
    totals = ReportTotals()
    for clip in clips:
        whole = len(clip.samples) // hop_samples * hop_samples
        original = clip.samples[:whole]
        codes = codec.encode(torch.from_numpy(original)[None, None])
        decoded = codec.decode(codes)[0, 0].detach().numpy().astype(np.float32)
        totals.add(clip, original, decoded, codes)
    return totals.report(codebook_size, hop_samples)


def evaluate_run(folder: Path, clips: int, live: bool = False) -> CodecReport:
    """Judges the last saved state of a run: the averaged weights, or the `live` ones."""
    saved = load_codec(folder)
    shape = saved.shape
    held_out = held_out_clips(clips, shape.sample_rate_hz)
    return evaluate_codec(saved.model(live=live), held_out, shape.codebook_size, shape.hop_samples)


def compare_runs(folders: Sequence[Path], clips: int, live: bool = False) -> str:
    """A markdown table of several runs, judged on the same clips; a row is named by its folder.

    Raises ParameterError when two folders have the same name.
    """
    names = [folder.name or str(folder) for folder in folders]
    for name in names:
        if names.count(name) > 1:
            raise ParameterError(f"{name!r} names {names.count(name)} of the runs: rename a folder")
    reports = {
        name: evaluate_run(folder, clips, live) for name, folder in zip(names, folders, strict=True)
    }
    return comparison_table(reports)


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Judge a codec run on held-out clips.")
    judged = parser.add_mutually_exclusive_group(required=True)
    judged.add_argument("--run", type=Path, help="run folder of the training")
    judged.add_argument(
        "--compare", type=Path, nargs="+", metavar="RUN", help="run folders, for a table of them"
    )
    parser.add_argument("--clips", type=int, default=32, help="number of clips of 8 s")
    parser.add_argument("--live", action="store_true", help="the last weights, not the average")
    parser.add_argument("--out", type=Path, help="also write what is printed here")
    options = parser.parse_args(arguments)
    if options.compare:
        text = compare_runs(options.compare, options.clips, options.live)
    else:
        report = evaluate_run(options.run, options.clips, options.live)
        text = json.dumps(dataclasses.asdict(report), indent=2)
    print(text)
    if options.out is not None:
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
