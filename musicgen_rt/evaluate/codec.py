"""Judges a codec on clips it was not trained on, and prints the figures as JSON.

python -m musicgen_rt.evaluate.codec --run RUN --clips 32 [--live] [--out FILE]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from musicgen_rt.errors import ParameterError
from musicgen_rt.evaluate import audio_distance
from musicgen_rt.evaluate.audio_distance import Samples
from musicgen_rt.train.codec import averaged_model, load_run
from musicgen_rt.train.codec_quantizer import perplexities
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


@dataclass(frozen=True)
class HeldOutClip:
    """Samples [N] at `rate_hz` and the spans in seconds where a lead note sounds."""

    samples: Samples
    rate_hz: int
    lead_spans_seconds: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class CodecReport:
    """The figures over all clips. Line figures are in dB over the surrounding bins."""

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
    totals = _Totals()
    for clip in clips:
        whole = len(clip.samples) // hop_samples * hop_samples
        original = clip.samples[:whole]
        codes = codec.encode(torch.from_numpy(original)[None, None])
        decoded = codec.decode(codes)[0, 0].detach().numpy().astype(np.float32)
        totals.add(clip, original, decoded, codes)
    if not totals.si_sdrs:
        raise ParameterError("0 clips were given; a report needs 1 or more")
    return totals.report(codebook_size, hop_samples)


class _Totals:
    """Sums over clips."""

    def __init__(self) -> None:
        self.si_sdrs: list[float] = []
        self.mel_distances: list[float] = []
        self.chroma = np.zeros(2, dtype=np.int64)
        self.onsets = np.zeros(3, dtype=np.int64)
        self.codes: list[Tensor] = []
        self.spectra: list[tuple[np.ndarray, np.ndarray]] = []
        self.rate_hz = 0

    def add(self, clip: HeldOutClip, original: Samples, decoded: Samples, codes: Tensor) -> None:
        rate_hz = self.rate_hz = clip.rate_hz
        distance = audio_distance
        self.si_sdrs.append(distance.si_sdr_db(decoded, original))
        self.mel_distances.append(distance.log_mel_distance_db(decoded, original, rate_hz))
        spans = clip.lead_spans_seconds
        self.chroma += distance.chroma_agreement(decoded, original, rate_hz, spans)
        self.onsets += distance.onset_counts(decoded, original, rate_hz)
        self.codes.append(codes)
        pair = (decoded, original)
        ours, theirs = (distance.power_spectrum(audio, rate_hz) for audio in pair)
        self.spectra.append((ours, theirs))

    def report(self, codebook_size: int, hop_samples: int) -> CodecReport:
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
        }
        return CodecReport(
            clips=len(self.si_sdrs),
            lead_frames=frames,
            perplexities=tuple(round(value, 1) for value in used),
            **{name: round(float(value), 4) for name, value in figures.items()},
        )


def evaluate_run(folder: Path, clips: int, live: bool = False) -> CodecReport:
    """Judges the last saved state of a run: the averaged weights, or the `live` ones."""
    config, state = load_run(folder)
    model = averaged_model(config, state)
    if live:
        model.load_state_dict(state.group("model"))
    shape = config.shape
    held_out = held_out_clips(clips, shape.sample_rate_hz)
    return evaluate_codec(model, held_out, shape.codebook_size, shape.hop_samples)


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Judge a codec run on held-out clips.")
    parser.add_argument("--run", type=Path, required=True, help="run folder of the training")
    parser.add_argument("--clips", type=int, default=32, help="number of clips of 8 s")
    parser.add_argument("--live", action="store_true", help="the last weights, not the average")
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    options = parser.parse_args(arguments)
    report = evaluate_run(options.run, options.clips, options.live)
    text = json.dumps(dataclasses.asdict(report), indent=2)
    print(text)
    if options.out is not None:
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
