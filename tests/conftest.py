"""Tiny checkpoints of every kind, written once per session. Read them, never change them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


def _write(factory: pytest.TempPathFactory, name: str, like: str, **options: Any) -> Path:
    # Imported here: the tests of the torch-free parts must not wait for torch.
    from musicgen_rt.model.new_checkpoint import write_checkpoint

    out = factory.mktemp("checkpoints") / name
    write_checkpoint(like, out, tiny=True, **options)
    return out


@pytest.fixture(scope="session")
def tiny_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mono text checkpoint."""
    return _write(tmp_path_factory, "text", "facebook/musicgen-small")


@pytest.fixture(scope="session")
def tiny_stereo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stereo text checkpoint."""
    return _write(tmp_path_factory, "stereo", "facebook/musicgen-stereo-small")


@pytest.fixture(scope="session")
def tiny_melody(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mono melody checkpoint."""
    return _write(tmp_path_factory, "melody", "facebook/musicgen-melody")


@pytest.fixture(scope="session")
def tiny_frame_conditioned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mono text checkpoint with clock, chroma and attribute conditioners."""
    return _write(tmp_path_factory, "frame", "facebook/musicgen-small", frame_conditioning=True)
