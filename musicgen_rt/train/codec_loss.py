"""What the codec is trained to minimise.

The waveform comes first: with spectral terms alone, or from the start, a 50 Hz codec lets
every pitch fall onto multiples of its frame rate. The spectral terms give the highs, which
no code can carry in phase, their energy back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torchaudio
from torch import Tensor, nn

from musicgen_rt.train.config import require_range

# A batch quieter than this (-50 dBFS) is not amplified into a full-scale error.
_SILENCE_RMS = 3e-3
# What a segment's own level is raised by, as a part of the batch's: a tail that fades to
# nothing would otherwise outweigh the music.
_SHARED_LEVEL = 0.1
# STFT sizes in samples; one is used a step, in turn: the same terms on average, at a third
# of the cost.
_FFT_SAMPLES = (512, 1024, 2048)
_MEL_BANDS = {512: 48, 1024: 80, 2048: 128}
_WAVEFORM_TERMS = ("waveform_mse", "waveform_l1", "hop_pattern")


@dataclass(frozen=True)
class CodecLossConfig:
    """Weights of the terms. `spectral_start` and `spectral_full` are parts of the run."""

    waveform_mse: float = 1.0
    waveform_l1: float = 0.3
    log_mel: float = 0.1
    mel: float = 0.1
    hop_pattern: float = 0.2
    commitment: float = 0.25
    latent_scale: float = 0.05
    log_floor: float = 5e-3
    spectral_start: float = 0.1
    spectral_full: float = 0.3

    def __post_init__(self) -> None:
        for name in (*_WAVEFORM_TERMS, "log_mel", "mel", "commitment", "latent_scale"):
            require_range(f"loss.{name}", getattr(self, name), 0.0, 1000.0)
        require_range("loss.log_floor", self.log_floor, 1e-7, 1.0)
        require_range("loss.spectral_start", self.spectral_start, 0.0, 1.0)
        require_range("loss.spectral_full", self.spectral_full, self.spectral_start, 1.0)

    def spectral_weight(self, progress: float) -> float:
        """The factor on the spectral terms at a part of the run, rising from 0 to 1."""
        span = max(self.spectral_full - self.spectral_start, 1e-9)
        return min(max((progress - self.spectral_start) / span, 0.0), 1.0)


class CodecLoss(nn.Module):
    """Compares decoded with original audio; holds the mel filter banks."""

    def __init__(self, config: CodecLossConfig, sample_rate_hz: int, hop_samples: int) -> None:
        super().__init__()
        self.config = config
        self.hop_samples = hop_samples
        for size in _FFT_SAMPLES:
            bank = torchaudio.functional.melscale_fbanks(
                size // 2 + 1, 0.0, sample_rate_hz / 2, _MEL_BANDS[size], sample_rate_hz
            )
            self.register_buffer(f"bank_{size}", bank)  # [bins, mel bands]
            self.register_buffer(f"window_{size}", torch.hann_window(size))

    def forward(
        self, decoded: Tensor, original: Tensor, step: int, progress: float
    ) -> dict[str, Tensor]:
        """The weighted terms by name over audio [B, 1, N]; their sum is the loss."""
        config = self.config
        error = decoded - original
        power = _softened(original.square().mean(dim=-1, keepdim=True)) + _SILENCE_RMS**2
        level = _softened(original.abs().mean(dim=-1, keepdim=True)) + _SILENCE_RMS
        terms = {
            "waveform_mse": config.waveform_mse * (error.square() / power).mean(),
            "waveform_l1": config.waveform_l1 * (error.abs() / level).mean(),
            "hop_pattern": config.hop_pattern * self._hop_pattern(error, power),
        }
        ramp = config.spectral_weight(progress)
        if ramp > 0:
            size = _FFT_SAMPLES[step % len(_FFT_SAMPLES)]
            ours, theirs = self._mel(decoded, size), self._mel(original, size)
            floor = config.log_floor
            log_error = (torch.log(ours + floor) - torch.log(theirs + floor)).abs().mean()
            terms["log_mel"] = ramp * config.log_mel * log_error
            terms["mel"] = ramp * config.mel * (ours - theirs).abs().mean() / theirs.mean()
        return terms

    def _hop_pattern(self, error: Tensor, power: Tensor) -> Tensor:
        """The part of the error that repeats every codec frame, relative to the power.

        Upsampling leaves thin constant lines at multiples of the frame rate. Folding the
        error by the hop and averaging over all F frames of the batch keeps only them: any other
        error shrinks to 1/F in power. The factor √F sets the lines above that remainder.
        """
        scaled = (error / power.sqrt()).reshape(-1, self.hop_samples)  # [B · T, hop]
        frames = scaled.shape[0]
        return scaled.mean(dim=0).square().mean() * math.sqrt(frames)

    def _mel(self, audio: Tensor, size: int) -> Tensor:
        """Magnitudes in mel bands [B, bands, frames]; white noise of RMS r gives about r."""
        window = getattr(self, f"window_{size}")
        spectrum = torch.stft(
            audio[:, 0], size, hop_length=size // 4, window=window, return_complex=True
        )
        spectrum_power = spectrum.real.square() + spectrum.imag.square()
        bank = getattr(self, f"bank_{size}")
        bands = torch.einsum("bft,fm->bmt", spectrum_power / window.square().sum(), bank)
        widths = bank.sum(dim=0)[:, None].clamp(min=1e-3)
        return torch.sqrt(bands / widths + 1e-10)


def latent_scale(latents: Tensor) -> Tensor:
    """The squared logarithm of the RMS of latents [B, D, T].

    Nothing else holds their scale: encoder and decoder can trade any gain, and latents that
    grow from step to step leave the codebooks, which are averages over steps, behind.
    """
    return (0.5 * torch.log(latents.square().mean() + 1e-8)).square()


def _softened(levels: Tensor) -> Tensor:
    """Levels [B, 1, 1] with a part of their mean added."""
    return levels + _SHARED_LEVEL * levels.mean()
