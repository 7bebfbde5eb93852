"""The configurations that the documentation shows are ones that the stages take."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from musicgen_rt.train.clip_annotations import read_annotations
from musicgen_rt.train.codec import CodecTrainConfig
from musicgen_rt.train.codec_adversarial_config import DecoderTrainConfig
from musicgen_rt.train.config import build_config
from musicgen_rt.train.data_export import DataConfig
from musicgen_rt.train.lm_config import ADAPTER, LMTrainConfig
from musicgen_rt.train.lm_encode import EncodeConfig
from musicgen_rt.train.stages import ExportConfig, with_tuning_rates

DOCS = Path(__file__).resolve().parents[2] / "docs"
TYPES: dict[str, type] = {
    "data": DataConfig,
    "encode": EncodeConfig,
    "validation": EncodeConfig,
    "codec": CodecTrainConfig,
    "decoder": DecoderTrainConfig,
    "lm": LMTrainConfig,
    "adapter": LMTrainConfig,
}


def tables() -> list[tuple[str, dict[str, Any]]]:
    """Every table of pocket.toml and of the TOML in training.md, with where it stands."""
    page = (DOCS / "training.md").read_text(encoding="utf-8")
    shown = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert shown, "the page shows how to train on one's own music"
    texts = [(DOCS / "pocket.toml").read_text(encoding="utf-8"), *shown]
    return [pair for text in texts for pair in tomllib.loads(text).items()]


def test_the_documented_annotations_are_read(tmp_path: Path) -> None:
    page = (DOCS / "training.md").read_text(encoding="utf-8")
    [shown] = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    (tmp_path / "song.json").write_text(shown, encoding="utf-8")
    known = read_annotations(tmp_path / "song.wav")
    assert known.grid is not None and known.grid.beats_per_bar == 4
    assert known.captions and known.lead_notes
    assert known.facts.keys() == {"bpm", "style", "key", "drums", "lead"}


def test_a_checkpoint_is_tuned_gently_unless_another_optimiser_is_named() -> None:
    new, tuned = {"codec": "c"}, {"start": "s"}
    gentle = {"optimizer": "adamw", "learning_rate": 1e-4}
    assert with_tuning_rates(new) == new
    assert with_tuning_rates(tuned)["optim"] == gentle
    slower = with_tuning_rates({**tuned, "optim": {"learning_rate": 1e-5}})
    assert slower["optim"] == {"optimizer": "adamw", "learning_rate": 1e-5}
    adapter = with_tuning_rates({**tuned, "tune": "adapter"})
    assert adapter["optim"] == {"optimizer": "adamw"}
    for named in ({"optimizer": "muon"}, {"muon_learning_rate": 1e-3}):
        assert with_tuning_rates({**tuned, "optim": named})["optim"] == named


@pytest.mark.parametrize(("name", "table"), tables(), ids=lambda value: str(value)[:24])
def test_a_documented_table_is_taken(name: str, table: dict[str, Any]) -> None:
    if name.endswith("export"):
        build_config(table, ExportConfig, f"{name}.")
        return
    kind = TYPES.get(name) or TYPES[name.split("_")[0]]
    given = {"tune": ADAPTER, **table} if name == "adapter" else table
    build_config(given, kind, f"{name}.")
