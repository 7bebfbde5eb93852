"""audiocraft's checkpoints and outputs, as scripts/make_audiocraft_fixtures.py recorded them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import ByT5Tokenizer

from musicgen_rt.convert import pickled_file, reader
from musicgen_rt.convert.conversion import convert
from musicgen_rt.errors import CheckpointError

FOLDER = Path(__file__).parent.parent / "data" / "audiocraft"


@dataclass(frozen=True)
class Recorded:
    """A model of audiocraft: its state, its configuration and what it computed."""

    state: dict[str, torch.Tensor]
    outputs: dict[str, torch.Tensor]
    config: str
    prompts: list[str]

    @classmethod
    def load(cls, name: str) -> Recorded:
        state: dict[str, torch.Tensor] = {}
        outputs: dict[str, torch.Tensor] = {}
        with safe_open(FOLDER / f"{name}.safetensors", framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 - it is not a dictionary
                kind, _, inner = key.partition("/")
                (state if kind == "state" else outputs)[inner] = file.get_tensor(key)
            metadata = file.metadata()
        return cls(state, outputs, metadata["xp.cfg"], json.loads(metadata["prompts"]))

    def package(self, **extra: Any) -> dict[str, Any]:
        """What audiocraft.utils.export saves of it; `extra` has what newer releases add."""
        return {"best_state": self.state, "xp.cfg": self.config, **extra}


def write_source(folder: Path, lm: str, codec: str = "codec32") -> Path:
    """A checkpoint as audiocraft publishes them."""
    folder.mkdir(parents=True)
    extra = {"version": "1.4.0a2", "exported": True}
    torch.save(Recorded.load(lm).package(**extra), folder / "state_dict.bin")
    torch.save(Recorded.load(codec).package(**extra), folder / "compression_state_dict.bin")
    return folder


def write_t5(folder: Path, name: str) -> Path:
    """The tiny T5 that stood for `name`, as transformers saves it."""
    folder.mkdir(parents=True)
    path = FOLDER / f"{name}.safetensors"
    with safe_open(path, framework="pt") as file:
        config = file.metadata()["config"]
    (folder / "config.json").write_text(config, encoding="utf-8")
    save_file(load_file(path), folder / "model.safetensors", metadata={"format": "pt"})
    ByT5Tokenizer().save_pretrained(folder)
    return folder


@contextmanager
def reading_in_this_process() -> Iterator[None]:
    """Spare a process for each file, which loads torch anew; test_reader has the real one."""

    def read(path: Path, scratch: Path) -> None:
        try:
            reader.read(path, scratch)
        except reader.RefusedError as error:
            raise CheckpointError(f"{path}: {error}") from error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pickled_file, "_run_reader", read)
        yield


def convert_recorded(folder: Path, name: str) -> Path:
    """The converted checkpoint of a recorded language model, in a new folder in `folder`."""
    is_for_sounds = name in ("audiogen", "audio_magnet")
    source = write_source(
        folder / f"{name}-source", name, "codec16" if is_for_sounds else "codec32"
    )
    t5 = "t5-large" if is_for_sounds else "t5-base"
    text_encoder = write_t5(folder / f"{name}-{t5}", t5)
    with reading_in_this_process():
        convert(str(source), folder / name, text_encoder=str(text_encoder))
    return folder / name
