"""Models of the tiny checkpoints, loaded once, and their counterparts in transformers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from musicgen_rt.live.build import EngineOptions
from musicgen_rt.live.engine import Engine
from musicgen_rt.model.musicgen import MusicGen
from tests.live.reference import Reference

# A window this short rolls often: 1 s of 50 frames, of which 0.4 s are kept, read in three chunks.
SHORT = EngineOptions(
    window_seconds=1.0,
    context_seconds=0.4,
    history_seconds=4.0,
    text_capacity=64,
    prefill_chunk_frames=7,
)

EngineMaker = Callable[..., Engine]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def models(
    tiny_text: Path, tiny_stereo: Path, tiny_melody: Path, tiny_frame_conditioned: Path
) -> dict[str, MusicGen]:
    """The four kinds of models, by name. Never change them."""
    folders = {
        "text": tiny_text,
        "stereo": tiny_stereo,
        "melody": tiny_melody,
        "frame": tiny_frame_conditioned,
    }
    return {
        name: MusicGen.load(str(folder), device="cpu", weights="fp32")
        for name, folder in folders.items()
    }


@pytest.fixture(scope="session")
def engine_of(models: dict[str, MusicGen]) -> EngineMaker:
    """Makes an engine of a named model, by default with a window that rolls often."""

    def make(name: str, options: EngineOptions = SHORT) -> Engine:
        return Engine(models[name], options)

    return make


@pytest.fixture(scope="session")
def references(tiny_text: Path, tiny_stereo: Path, tiny_melody: Path) -> dict[str, Reference]:
    """transformers' models of the same checkpoints, by name."""
    return {
        "text": Reference(tiny_text),
        "stereo": Reference(tiny_stereo),
        "melody": Reference(tiny_melody, is_melody=True),
    }
