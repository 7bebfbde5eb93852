"""Judges with a short education, and the players of tiny checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from musicgen_rt.evaluate.pocket_control import Stage
from musicgen_rt.evaluate.pocket_judges import Judges, make_lessons, through_codec
from musicgen_rt.evaluate.pocket_play import Player
from musicgen_rt.live.build import EngineOptions
from musicgen_rt.model.musicgen import MusicGen

# Enough to tell right from wrong; a real evaluation gives ten times as many.
_LESSONS = 24


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def judges() -> Judges:
    """Judges that have heard some clips of the generator."""
    return Judges.taught(make_lessons(_LESSONS, None, lambda label, done, total: None))


@pytest.fixture(scope="session")
def player(tiny_frame_conditioned: Path) -> Player:
    """The tiny checkpoint with frame conditioners, with a window that rolls often."""
    model = MusicGen.load(str(tiny_frame_conditioned), device="cpu", weights="fp32")
    return Player(model, EngineOptions(window_seconds=3.0, context_seconds=1.2))


@pytest.fixture
def stage(player: Player, judges: Judges) -> Stage:
    """What the parts of an evaluation share."""
    return Stage(
        player,
        lambda: judges,
        through_codec(player.model.codec),
        lambda label, done, total: None,
        take_seconds=5.0,
    )
