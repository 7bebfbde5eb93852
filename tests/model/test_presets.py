"""Likenesses of the checkpoints that are published in audiocraft's format only."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from musicgen_rt.model.checkpoint import Checkpoint, read_config
from musicgen_rt.model.config import ModelConfig
from musicgen_rt.model.expected_shapes import lm_shapes
from musicgen_rt.model.new_checkpoint import write_checkpoint
from musicgen_rt.model.presets import CONVERTED_IDS, Preset

# Parameters of the language model in millions, rate in Hz, width of the text and window in seconds:
# the model cards and config/solver of audiocraft.
PUBLISHED = {
    "facebook/audiogen-medium": (1500, 16_000, 1024, 10),
    "facebook/magnet-small-10secs": (300, 32_000, 768, 10),
    "facebook/magnet-medium-10secs": (1500, 32_000, 768, 10),
    "facebook/magnet-small-30secs": (300, 32_000, 768, 30),
    "facebook/magnet-medium-30secs": (1500, 32_000, 768, 30),
    "facebook/audio-magnet-small": (300, 16_000, 1024, 10),
    "facebook/audio-magnet-medium": (1500, 16_000, 1024, 10),
}


def parsed(like: str) -> ModelConfig:
    preset = Preset.like(like, tiny=False)
    return ModelConfig.from_json(
        preset.config(dtype="fp32", frame_conditioning=False),
        generation=preset.generation_config(),
        preprocessor=preset.preprocessor_config(),
    )


def test_every_id_is_checked() -> None:
    assert set(PUBLISHED) == set(CONVERTED_IDS)


@pytest.mark.parametrize("like", CONVERTED_IDS)
def test_sizes_are_those_that_were_published(like: str) -> None:
    millions, rate_hz, text_width, seconds = PUBLISHED[like]
    config = parsed(like)
    assert (config.sampling_rate_hz, config.frame_rate_hz) == (rate_hz, 50.0)
    assert (config.text_d_model, config.window_frames) == (text_width, 50 * seconds)
    assert config.has_text_projection
    assert (config.magnet is not None) == ("magnet" in like)
    count = sum(math.prod(shape) for shape in lm_shapes(config).values())
    # The cards round down, and leave out cross-attention.
    assert millions < count / 1e6 < 1.45 * millions


def test_sounds_are_made_hotter_and_with_more_guidance() -> None:
    """audiocraft's config/solver/magnet/audio_magnet_16khz.yaml."""
    magnet = parsed("facebook/audio-magnet-small").magnet
    assert magnet is not None
    assert (magnet.temperature, magnet.top_p, magnet.max_guidance) == (3.5, 0.8, 20.0)


@pytest.mark.parametrize("like", ["facebook/audiogen-medium", "facebook/audio-magnet-small"])
def test_a_tiny_one_is_a_whole_checkpoint(like: str, tmp_path: Path) -> None:
    write_checkpoint(like, tmp_path / "new", tiny=True)
    Checkpoint.open(tmp_path / "new").close()
    config = read_config(tmp_path / "new")
    assert config.context_frames == (400 if "audiogen" in like else None)
