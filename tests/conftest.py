"""Tiny checkpoints of every kind, written once per session; and who runs which test when.

Read the checkpoints, never change them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from tests import workers
from tests.real_time import MARKER, is_real_time

if TYPE_CHECKING:
    from xdist.remote import Producer

workers.become_worker()
# Of a machine that is busy an example may take any time.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what runs in real time."""
    for item in items:
        if is_real_time(item.path):
            item.add_marker(MARKER)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """What does not run in real time gives way to what does."""
    if item.get_closest_marker(MARKER) is None:
        workers.step_back()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """How many workers `-n auto` means."""
    return workers.worker_count()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> workers.Scheduling:
    """Tests in real time run one after another, whatever the others do."""
    return workers.Scheduling(config, log)


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
