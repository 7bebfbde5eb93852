"""A few clips that a run does not learn from, decoded now and then to see and hold its course."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from musicgen_rt.train.codec_coded_pool import CodedClip
from musicgen_rt.train.codec_pool import to_float32

# A clip quieter than this (RMS) has nothing to compare.
_SILENCE_RMS = 1e-3
# Highs this far below the whole count as silence.
_FLOOR_POWER = 1e-8
_WEAKEN, _STRENGTHEN = 0.7, 1.1


class DecoderProbe:
    """Paired figures: the same clips each time, so that small changes can be seen."""

    def __init__(self, clips: Sequence[CodedClip]) -> None:
        """Clips that are silent are passed over."""
        originals = [clip.gain * torch.from_numpy(to_float32(clip.samples)) for clip in clips]
        self._pairs = [
            (torch.from_numpy(clip.codes).long()[None], original)
            for clip, original in zip(clips, originals, strict=True)
            if float(original.square().mean().sqrt()) > _SILENCE_RMS
        ]

    @torch.no_grad()
    def figures(self, decode: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """SI-SDR and the level above a quarter of the rate; `decode` takes codes [1, K, T]."""
        if not self._pairs:
            return {}
        pairs = [(decode(codes)[0, 0], original) for codes, original in self._pairs]
        return {
            "probe_si_sdr_db": _mean([si_sdr_db(*pair) for pair in pairs]),
            "probe_high_band_db": _mean([high_band_db(*pair) for pair in pairs]),
        }


@dataclass
class SiSdrGuard:
    """Weakens the opponent while the codec is further from the originals than allowed.

    An opponent that is free to may cost up to 3 dB: what it asks for, it asks for in a phase that
    nobody knows. `strength` is the factor on its weights.
    """

    allowance_db: float
    start_db: float | None = None
    strength: float = 1.0

    def follow(self, si_sdr_db: float) -> None:
        """Takes the present SI-SDR of the probe; the first one is what the others are held to."""
        if self.start_db is None:
            self.start_db = si_sdr_db
        elif si_sdr_db < self.start_db - self.allowance_db:
            self.strength *= _WEAKEN
        else:
            self.strength = min(1.0, self.strength * _STRENGTHEN)


def si_sdr_db(decoded: Tensor, original: Tensor) -> float:
    """Scale-invariant signal-to-distortion ratio of samples [N] in dB (Le Roux et al. 2019)."""
    ours, theirs = (audio.double() - audio.double().mean() for audio in (decoded, original))
    target = theirs * (ours @ theirs / theirs.square().sum())
    rest = (ours - target).square().sum().clamp(min=1e-12)
    return float(10 * torch.log10(target.square().sum().clamp(min=1e-12) / rest))


def high_band_db(decoded: Tensor, original: Tensor) -> float:
    """The level of the upper half of the spectrum of samples [N], relative to the original's."""
    ours, theirs = (torch.fft.rfft(audio.double()).abs().square() for audio in (decoded, original))
    floor, half = _FLOOR_POWER * theirs.sum(), len(theirs) // 2
    return float(10 * torch.log10((ours[half:].sum() + floor) / (theirs[half:].sum() + floor)))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
