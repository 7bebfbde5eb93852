"""A MusicGen's opinion of given codes is transformers' probability of each token."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from musicgen_rt.errors import UnsupportedError
from musicgen_rt.live.rescorer import MusicGenRescorer
from musicgen_rt.live.token_store import UNKNOWN
from musicgen_rt.model.config import ModelConfig
from musicgen_rt.model.magnet_config import MagnetConfig
from musicgen_rt.model.musicgen import MusicGen
from tests.live.reference import Reference

TEXT = "rain on a tin roof"
FRAMES = 20


def masked(config: ModelConfig) -> ModelConfig:
    """The same codes, made by a model that can be judged."""
    steps = tuple(MagnetConfig.default_steps(config.lm.num_codebooks))
    return replace(config, magnet=MagnetConfig(steps))


def test_probabilities_are_those_of_transformers(
    models: dict[str, MusicGen], references: dict[str, Reference]
) -> None:
    model, reference = models["text"], references["text"]
    config = model.config
    generator = torch.Generator().manual_seed(0)
    shape = (config.lm.num_codebooks, FRAMES)
    codes = torch.randint(0, config.lm.vocab_size, shape, generator=generator)
    rescorer = MusicGenRescorer(model, masked(config), TEXT)
    missing = max(config.lm.delays)
    last = config.lm.num_codebooks - 1
    delay = config.lm.delays[last]
    full = torch.full((len(codes), 1 + FRAMES + missing), reference.special)
    for codebook, shift in enumerate(config.lm.delays):
        full[codebook, 1 + shift : 1 + shift + FRAMES] = codes[codebook]
    logits = reference.logits(full[:, :-1], TEXT)  # [S, K, V]
    expected = logits[delay : delay + FRAMES, last].softmax(-1).gather(1, codes[last, :, None])
    torch.testing.assert_close(rescorer.probability(codes, last), expected[:, 0])


def test_what_is_not_made_is_not_seen(models: dict[str, MusicGen]) -> None:
    model = models["text"]
    codes = torch.arange(4 * FRAMES).view(4, FRAMES) % model.config.lm.vocab_size
    other = codes.clone()
    other[1:] += 1
    hidden = codes.clone()
    hidden[1:] = UNKNOWN
    rescorer = MusicGenRescorer(model, masked(model.config), None)
    assert not torch.equal(rescorer.probability(codes, 0), rescorer.probability(other, 0))
    alone = rescorer.probability(hidden, 0)
    assert torch.isfinite(alone).all() and float(alone.min()) > 0


def test_another_kind_of_model_is_refused(models: dict[str, MusicGen]) -> None:
    config = masked(models["text"].config)
    with pytest.raises(UnsupportedError, match="cannot rescore: expected a text MusicGen"):
        MusicGenRescorer(models["melody"], config, None)
    with pytest.raises(UnsupportedError, match="8 codebooks"):
        MusicGenRescorer(models["text"], masked(models["stereo"].config), None)
    slower = replace(config, sampling_rate_hz=16_000)
    with pytest.raises(UnsupportedError, match="16000 Hz"):
        MusicGenRescorer(models["text"], slower, None)
    with pytest.raises(UnsupportedError, match="load a MAGNeT, or leave it out"):
        MusicGenRescorer(models["text"], models["text"].config, None)
