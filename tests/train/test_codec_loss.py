"""The terms of the codec's loss, each against what it is meant to hear."""

import librosa
import numpy as np
import pytest
import torch

from musicgen_rt.errors import ParameterError
from musicgen_rt.train.codec_loss import CodecLoss, CodecLossConfig, latent_scale

RATE_HZ = 32_000


def make_loss(**weights: float) -> CodecLoss:
    return CodecLoss(CodecLossConfig(**weights), RATE_HZ, hop_samples=640)


def noise(rows: int = 2, samples: int = 6400) -> torch.Tensor:
    return 0.1 * torch.randn(rows, 1, samples, generator=torch.Generator().manual_seed(0))


def test_perfect_audio_costs_nothing_and_silence_about_one() -> None:
    loss, audio = make_loss(waveform_l1=1.0), noise()
    assert all(abs(float(term)) < 1e-6 for term in loss(audio, audio, 0, 1.0).values())
    terms = loss(torch.zeros_like(audio), audio, 0, 0.0)
    assert float(terms["waveform_mse"]) == pytest.approx(1 / 1.1, rel=0.02)
    assert float(terms["waveform_l1"]) == pytest.approx(1 / 1.1, rel=0.05)


def test_spectral_terms_wait_and_then_rise() -> None:
    loss, audio = make_loss(spectral_start=0.1, spectral_full=0.3), noise()
    quiet = 0.5 * audio
    assert "log_mel" not in loss(quiet, audio, 0, 0.1)
    half, full = (float(loss(quiet, audio, 0, at)["log_mel"]) for at in (0.2, 0.3))
    assert half == pytest.approx(full / 2, rel=1e-4)
    assert full == pytest.approx(float(loss(quiet, audio, 0, 0.9)["log_mel"]))


@pytest.mark.parametrize("step", [0, 1, 2])
def test_mel_bands_measure_what_librosa_measures(step: int) -> None:
    loss, audio = make_loss(), noise(rows=1, samples=16000)
    size = (512, 1024, 2048)[step]
    ours = loss._mel(audio, size)[0].square()
    bank = getattr(loss, f"bank_{size}")
    power = librosa.stft(audio[0, 0].numpy(), n_fft=size, hop_length=size // 4, pad_mode="reflect")
    power = np.abs(power) ** 2 / np.hanning(size + 1)[:-1].__pow__(2).sum()
    mel = librosa.filters.mel(
        sr=RATE_HZ, n_fft=size, n_mels=bank.shape[1], fmin=0, fmax=RATE_HZ / 2, htk=True, norm=None
    )
    expected = (mel / np.maximum(mel.sum(axis=1, keepdims=True), 1e-3)) @ power
    np.testing.assert_allclose(ours.numpy(), expected, rtol=2e-3, atol=1e-6)
    assert float(ours.mean().sqrt()) == pytest.approx(0.1, rel=0.1)


def test_a_constant_line_costs_more_than_noise_of_its_power() -> None:
    loss = make_loss()
    audio = noise(rows=8, samples=16000)
    time = torch.arange(16000) / RATE_HZ
    line = 0.01 * np.sqrt(2) * torch.sin(2 * torch.pi * 2000 * time).expand(8, 1, -1)
    hiss = 0.01 * torch.randn(audio.shape, generator=torch.Generator().manual_seed(1))
    off_grid = 0.01 * np.sqrt(2) * torch.sin(2 * torch.pi * 2013.7 * time).expand(8, 1, -1)
    costs = [float(loss(audio + e, audio, 0, 0.0)["hop_pattern"]) for e in (line, hiss, off_grid)]
    assert costs[0] > 50 * costs[1]
    assert costs[0] > 50 * costs[2]


def test_a_fading_tail_does_not_outweigh_the_music() -> None:
    loss, audio = make_loss(), noise()
    audio[1] *= 1e-3
    wrong = audio + 0.01
    assert float(loss(wrong, audio, 0, 0.0)["waveform_mse"]) < 0.2


def test_latents_are_held_at_unit_scale() -> None:
    latents = torch.randn(2, 8, 500, generator=torch.Generator().manual_seed(0))
    assert float(latent_scale(latents)) < 1e-3
    for factor in (0.1, 10.0):
        assert float(latent_scale(factor * latents)) == pytest.approx(np.log(10) ** 2, rel=0.02)


def test_ranges_are_checked() -> None:
    with pytest.raises(ParameterError, match="spectral_full"):
        CodecLossConfig(spectral_start=0.5, spectral_full=0.2)
