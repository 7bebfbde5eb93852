"""Checkpoints of audiocraft's own classes, converted once per session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.audiocraft import convert_recorded, reading_in_this_process, write_t5


@pytest.fixture(scope="session", autouse=True)
def _read_in_this_process() -> Iterator[None]:
    with reading_in_this_process():
        yield


@pytest.fixture(scope="session")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny T5, by the name it stands for."""
    folder = tmp_path_factory.mktemp("t5")
    folders: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in folders:
            folders[name] = write_t5(folder / name, name)
        return folders[name]

    return make


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The converted checkpoint of a recorded language model, by its name."""
    folder = tmp_path_factory.mktemp("converted")
    folders: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in folders:
            folders[name] = convert_recorded(folder, name)
        return folders[name]

    return make
