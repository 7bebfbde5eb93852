"""The audio format of a checkpoint, read from its config.json: the timeline buffer needs it before
the engine has loaded anything."""

from __future__ import annotations

import importlib.util
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

POCKET: Final = "pocket"
_MAX_CONFIG_BYTES: Final = 1 << 24
_RATES_HZ: Final = (1_000, 384_000)


@dataclass(frozen=True)
class ModelFormat:
    """Rate, channels and samples a codec frame; by default those of MusicGen's mono models."""

    sample_rate_hz: int = 32_000
    hop_samples: int = 640
    channels: int = 1

    @property
    def frame_rate_hz(self) -> Fraction:
        """Codec frames a second."""
        return Fraction(self.sample_rate_hz, self.hop_samples)


def find_format(source: str) -> ModelFormat | None:
    """The format of a checkpoint that lies on this machine; None if it cannot be told.

    Nothing is judged here: a checkpoint that is damaged or absent is for the engine to report.
    """
    folder = checkpoint_folder(source)
    if folder is None:
        return None
    try:
        path = folder / "config.json"
        if path.stat().st_size > _MAX_CONFIG_BYTES:
            return None
        return _format(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def checkpoint_folder(source: str) -> Path | None:
    """The folder of a checkpoint: the one that ships with the engine, a folder, or the hub's copy
    in the local cache; None if it is not here."""
    if source == POCKET:
        engine = importlib.util.find_spec("musicgen_rt")
        places = engine.submodule_search_locations if engine is not None else None
        return Path(next(iter(places))) / "pocket" if places else None
    try:
        folder = Path(source).expanduser()
        if folder.is_dir():
            return folder
    except (OSError, RuntimeError):
        return None
    return _cached_snapshot(source)


def hub_cache() -> Path:
    """Where the Hugging Face libraries keep what they download (their environment variables)."""
    given = os.environ.get("HF_HUB_CACHE")
    if given:
        return Path(given).expanduser()
    base = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get("HF_HOME", f"{base}/huggingface")).expanduser() / "hub"


def _cached_snapshot(hub_id: str) -> Path | None:
    """The main revision in the hub's cache (its layout is documented by huggingface_hub)."""
    if hub_id.count("/") != 1:
        return None
    repository = hub_cache() / f"models--{hub_id.replace('/', '--')}"
    try:
        commit = (repository / "refs" / "main").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    folder = repository / "snapshots" / commit
    return folder if commit.isalnum() and folder.is_dir() else None


def _format(config: Mapping[str, Any]) -> ModelFormat:
    # What JSON leaves out has the default of transformers' EncodecConfig.
    codec = config["audio_encoder"]
    rate_hz = int(codec.get("sampling_rate", 24_000))
    hop_samples = math.prod(int(ratio) for ratio in codec.get("upsampling_ratios", (8, 5, 4, 2)))
    channels = int(config["decoder"].get("audio_channels", 1))
    if not _RATES_HZ[0] <= rate_hz <= _RATES_HZ[1] or hop_samples < 1 or channels not in (1, 2):
        raise ValueError("no format that music has")
    return ModelFormat(rate_hz, hop_samples, channels)
