"""The opponent of the decoder: the encodec package's MS-STFT discriminator, and its losses.

Hinge losses and feature matching are those of EnCodec (Défossez et al. 2022, section 3.4).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from encodec.msstftd import MultiScaleSTFTDiscriminator
from torch import Tensor, nn
from torch.nn import functional

from musicgen_rt.errors import ParameterError
from musicgen_rt.train.config import require_range

# Highs quieter than this (-80 dBFS) are not amplified.
_SILENCE_RMS = 1e-4
# What a segment's own level is raised by, as a part of the batch's.
_SHARED_LEVEL = 0.1


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Size and pace of the discriminator.

    `fft_samples` are its scales, one sub-network each; the hop is a quarter of each. It hears
    what lies above `highpass_hz`: below, the codes carry the phase and the waveform terms lead;
    0 lets it hear all. It learns every `every_steps` steps.
    """

    filters: int = 16
    fft_samples: tuple[int, ...] = (2048, 512)
    highpass_hz: float = 1000.0
    every_steps: int = 2
    learning_rate: float = 5e-4
    beta1: float = 0.5
    beta2: float = 0.9

    def __post_init__(self) -> None:
        require_range("discriminator.filters", self.filters, 1, 512)
        require_range("number of discriminator.fft_samples", len(self.fft_samples), 1, 8)
        for size in self.fft_samples:
            require_range("discriminator.fft_samples", size, 64, 65_536)
        require_range("discriminator.highpass_hz", self.highpass_hz, 0.0, 1e6)
        require_range("discriminator.every_steps", self.every_steps, 1, 1000)
        require_range("discriminator.learning_rate", self.learning_rate, 1e-8, 1.0)
        require_range("discriminator.beta1", self.beta1, 0.0, 0.9999)
        require_range("discriminator.beta2", self.beta2, 0.0, 0.9999)


@dataclass(frozen=True)
class Judgement:
    """Of each scale the logits [B, 1, T, F], high for an original, and the features before."""

    logits: list[Tensor]
    features: list[list[Tensor]]

    def detached(self) -> Judgement:
        """The same values without a graph."""
        return Judgement(
            [logit.detach() for logit in self.logits],
            [[feature.detach() for feature in scale] for scale in self.features],
        )


class Discriminator(nn.Module):
    """Judges segments of one length; convolutions run in channels-last."""

    def __init__(self, config: DiscriminatorConfig, rate_hz: int, samples: int) -> None:
        """`samples` is the length of a segment. Raises ParameterError if a scale is longer."""
        super().__init__()
        sizes = list(config.fft_samples)
        if max(sizes) > samples:
            raise ParameterError(
                f"discriminator.fft_samples has {max(sizes)}; a segment has {samples} samples: "
                "lengthen pool.segment_seconds"
            )
        with warnings.catch_warnings():  # the package uses torch's older weight norm
            warnings.simplefilter("ignore", FutureWarning)
            self.scales = MultiScaleSTFTDiscriminator(
                config.filters,
                n_ffts=sizes,
                hop_lengths=[size // 4 for size in sizes],
                win_lengths=sizes,
            )
        self.to(memory_format=torch.channels_last)
        self.register_buffer("hearing", hearing(config.highpass_hz, rate_hz, samples))

    def hear(self, original: Tensor, decoded: Tensor) -> tuple[Tensor, Tensor]:
        """Both segments [B, 1, N] as `forward` takes them: filtered, at the original's level."""
        meant, made = (self._filtered(audio) for audio in (original, decoded))
        levels = meant.square().mean(dim=-1, keepdim=True).sqrt()
        levels = levels + _SHARED_LEVEL * levels.mean() + _SILENCE_RMS
        return meant / levels, made / levels

    def forward(self, heard: Tensor) -> Judgement:
        """Judges segments [B, 1, N] that were heard."""
        logits, features = self.scales(heard)
        return Judgement(
            [logit.float() for logit in logits],
            [[feature.float() for feature in scale] for scale in features],
        )

    def _filtered(self, audio: Tensor) -> Tensor:
        spectrum = torch.fft.rfft(audio) * self.hearing
        return torch.fft.irfft(spectrum, n=audio.shape[-1])


def hearing(highpass_hz: float, rate_hz: int, samples: int) -> Tensor:
    """The gains [bins] of a segment's spectrum: all 1 if `highpass_hz` is 0.

    Otherwise a half cosine over the octave below it and from there 6 dB an octave upwards:
    music falls by about as much, and its uppermost octave would go unheard.
    """
    frequencies = torch.linspace(0, rate_hz / 2, samples // 2 + 1)
    if highpass_hz == 0:
        return torch.ones_like(frequencies)
    octaves = torch.log2(frequencies.clamp(min=1e-3) / highpass_hz)
    gate = 0.5 + 0.5 * torch.cos(math.pi * octaves.clamp(-1, 0))
    return gate * (frequencies / highpass_hz)


def discriminator_loss(original: Judgement, decoded: Judgement) -> Tensor:
    """The hinge loss of the discriminator: 2 when it knows nothing, 0 when it is sure."""
    pairs = zip(original.logits, decoded.logits, strict=True)
    losses = [
        functional.relu(1 - meant).mean() + functional.relu(1 + made).mean()
        for meant, made in pairs
    ]
    return _mean(losses)


def hinge_loss(decoded: Judgement) -> Tensor:
    """The decoder's: how far what it made is from being taken for an original."""
    return _mean([functional.relu(1 - made).mean() for made in decoded.logits])


def feature_distance(original: Judgement, decoded: Judgement) -> Tensor:
    """Feature matching: the mean relative difference of the features of each layer."""
    distances = [
        (meant - made).abs().mean() / meant.abs().mean().clamp(min=1e-6)
        for ours, theirs in zip(decoded.features, original.features, strict=True)
        for made, meant in zip(ours, theirs, strict=True)
    ]
    return _mean(distances)


def _mean(values: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(values)).mean()
