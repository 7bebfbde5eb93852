"""What the discriminator hears, learns and asks for."""

import numpy as np
import pytest
import torch

from musicgen_rt.errors import ParameterError
from musicgen_rt.train.codec_discriminator import (
    Discriminator,
    DiscriminatorConfig,
    Judgement,
    discriminator_loss,
    feature_distance,
    hinge_loss,
)

RATE_HZ = 32_000
SAMPLES = 3200
TINY = DiscriminatorConfig(filters=4, fft_samples=(256,), highpass_hz=1000.0)


def make(config: DiscriminatorConfig = TINY) -> Discriminator:
    torch.manual_seed(0)
    return Discriminator(config, RATE_HZ, SAMPLES)


def sine(hz: float, amplitude: float = 0.1) -> torch.Tensor:
    time = torch.arange(SAMPLES) / RATE_HZ
    return (amplitude * torch.sin(2 * torch.pi * hz * time)).reshape(1, 1, -1)


def noise(seed: int) -> torch.Tensor:
    return 0.1 * torch.randn(4, 1, SAMPLES, generator=torch.Generator().manual_seed(seed))


def test_lows_are_not_heard_and_highs_are_raised() -> None:
    opponent = make()
    for hz, gain in [(100, 0.0), (500, 0.0), (1000, 1.0), (2000, 2.0), (8000, 8.0)]:
        heard = opponent._filtered(sine(hz))
        assert float(heard.std() / sine(hz).std()) == pytest.approx(gain, abs=1e-3)
    everything = make(DiscriminatorConfig(filters=2, fft_samples=(256,), highpass_hz=0.0))
    torch.testing.assert_close(everything._filtered(noise(0)), noise(0))


def test_the_level_of_the_music_does_not_matter() -> None:
    opponent = make()
    meant, made = opponent.hear(noise(0), 0.5 * noise(0))
    torch.testing.assert_close(made, 0.5 * meant)
    quiet, _ = opponent.hear(0.05 * noise(0), noise(1))
    torch.testing.assert_close(quiet, meant, rtol=0.02, atol=1e-3)


def test_what_it_asks_for_lies_where_it_hears() -> None:
    opponent, output = make(), noise(1).requires_grad_()
    meant, made = opponent.hear(noise(0), output)
    about = opponent(made)
    loss = hinge_loss(about) + feature_distance(opponent(meant).detached(), about)
    (gradient,) = torch.autograd.grad(loss, output)
    power = np.abs(np.fft.rfft(gradient[:, 0].numpy())) ** 2
    hz = np.fft.rfftfreq(SAMPLES, 1 / RATE_HZ)
    assert power[:, hz <= 500].sum() < 1e-6 * power.sum()
    assert power[:, hz >= 1000].sum() > 0.9 * power.sum()


def test_the_losses_are_hinges() -> None:
    rng = np.random.default_rng(0)
    meant, made = (
        [3 * rng.standard_normal((2, 1, 5, size)).astype(np.float32) for size in (4, 8)]
        for _ in range(2)
    )
    original, decoded = (
        Judgement([torch.from_numpy(x) for x in logits], [[torch.from_numpy(logits[0])]])
        for logits in (meant, made)
    )
    knows = [
        np.maximum(1 - a, 0).mean() + np.maximum(1 + b, 0).mean()
        for a, b in zip(meant, made, strict=True)
    ]
    assert float(discriminator_loss(original, decoded)) == pytest.approx(np.mean(knows))
    fools = [np.maximum(1 - b, 0).mean() for b in made]
    assert float(hinge_loss(decoded)) == pytest.approx(np.mean(fools))
    apart = np.abs(meant[0] - made[0]).mean() / np.abs(meant[0]).mean()
    assert float(feature_distance(original, decoded)) == pytest.approx(apart)
    assert float(feature_distance(original, original)) == 0.0


def test_it_learns_to_tell_dull_from_bright() -> None:
    opponent = make()
    optimizer = torch.optim.Adam(opponent.parameters(), lr=3e-3)
    for step in range(40):
        bright = noise(step)
        dull = torch.nn.functional.avg_pool1d(noise(100 + step), 5, stride=1, padding=2)
        meant, made = opponent.hear(bright, dull)
        loss = discriminator_loss(opponent(meant), opponent(made))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    assert float(loss.detach()) < 0.5


def test_a_scale_longer_than_a_segment_is_refused() -> None:
    with pytest.raises(ParameterError, match="has 4096; a segment has 3200 samples"):
        make(DiscriminatorConfig(fft_samples=(4096,)))
    with pytest.raises(ParameterError, match="fft_samples is 32"):
        DiscriminatorConfig(fft_samples=(32,))
