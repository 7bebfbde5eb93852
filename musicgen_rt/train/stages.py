"""The stages of training by name, each run from a table of a TOML file."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from musicgen_rt.errors import ParameterError
from musicgen_rt.model.presets import DTYPES
from musicgen_rt.train.codec import CodecTrainConfig, train_codec
from musicgen_rt.train.codec_adversarial import train_decoder
from musicgen_rt.train.codec_adversarial_config import DecoderTrainConfig
from musicgen_rt.train.codec_export import export_codec
from musicgen_rt.train.codec_saved import is_codec_run, load_codec
from musicgen_rt.train.config import build_config, read_toml, require_range
from musicgen_rt.train.data_export import DataConfig, export_data
from musicgen_rt.train.lm import train_lm
from musicgen_rt.train.lm_config import ADAPTER, LMTrainConfig
from musicgen_rt.train.lm_encode import EncodeConfig, encode_clips
from musicgen_rt.train.lm_export import GuidanceShape, export_run
from musicgen_rt.train.loss_plot import plot_run

# That of Copet et al. 2023, "Simple and Controllable Music Generation".
_TUNING_RATE = 1e-4
# The metrics that tell how a run of a language model went, and one of a codec.
_LOSSES = {
    False: ("loss", "validation_loss", "validation_free_loss"),
    True: ("waveform_mse", "waveform_l1", "log_mel", "mel", "commitment"),
}


@dataclass(frozen=True)
class ExportConfig:
    """Writes the run `run`, of a codec or a language model, as a checkpoint into `out`.

    `dtype` is fp32, bf16 or fp16. `shard_megabytes` cuts a language model's weights into files of
    at most that size, `codec` is an exported codec whose decoder was tuned since, and
    `unconditional_clock` and `negative_attributes` are for those with frame conditioners, see
    `FrameConditioningConfig`. `identity_lstm` is for codecs, see `codec_export`. `plot` is an SVG
    file to draw the metrics `curves` into; none are the losses.
    """

    run: str
    out: str
    dtype: str = "fp32"
    shard_megabytes: float | None = None
    unconditional_clock: float = 0.0
    negative_attributes: tuple[str, ...] = ()
    codec: str = ""
    identity_lstm: bool = True
    plot: str = ""
    curves: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ParameterError(f"dtype is {self.dtype!r}; allowed: {', '.join(DTYPES)}")
        if self.shard_megabytes is not None:
            require_range("shard_megabytes", self.shard_megabytes, 0.001, 1e6)
        require_range("unconditional_clock", self.unconditional_clock, 0.0, 1.0)


def run_stage(stage: str, config_file: Path, table_name: str | None) -> None:
    """Runs a stage from the table of its name (or `table_name`), or from the whole file.

    Raises ParameterError for a bad configuration, or if torchrun started several processes for a
    stage that is made for one.
    """
    count = os.environ.get("WORLD_SIZE", "1")
    if count != "1" and stage not in _SHARED_STAGES:
        raise ParameterError(
            f"torchrun started {count} processes for {stage!r}, which runs in one; it can start "
            f"several of {', '.join(_SHARED_STAGES)}"
        )
    table, where = _read_table(config_file, table_name or stage, is_named=table_name is not None)
    _STAGES[stage](table, where)


def _read_table(path: Path, name: str, *, is_named: bool) -> tuple[dict[str, Any], str]:
    """A table of the file with the prefix for errors; the file itself if it has none."""
    whole = read_toml(path)
    table = whole.get(name)
    if isinstance(table, dict):
        return table, f"{name}."
    if is_named:
        raise ParameterError(f"{path} has no table [{name}]; it has {', '.join(whole)}")
    return whole, ""


def _data(table: dict[str, Any], where: str) -> None:
    export_data(build_config(table, DataConfig, where))


def _encode(table: dict[str, Any], where: str) -> None:
    encode_clips(build_config(table, EncodeConfig, where))


def _codec(table: dict[str, Any], where: str) -> None:
    train_codec(build_config(table, CodecTrainConfig, where))


def _decoder(table: dict[str, Any], where: str) -> None:
    train_decoder(build_config(table, DecoderTrainConfig, where))


def _lm(table: dict[str, Any], where: str) -> None:
    train_lm(build_config(with_tuning_rates(table), LMTrainConfig, where))


def _adapter(table: dict[str, Any], where: str) -> None:
    told = with_tuning_rates({"tune": ADAPTER, **table})
    train_lm(build_config(told, LMTrainConfig, where))


def with_tuning_rates(table: dict[str, Any]) -> dict[str, Any]:
    """The table of a run with AdamW at MusicGen's own rate, if it tunes and names no optimiser.

    The defaults are for a new model, and would undo what a checkpoint has learned. What an adapter
    adds is new: its rate stays.
    """
    optim = table.get("optim", {})
    if not table.get("start") or not isinstance(optim, dict):
        return table
    if {"optimizer", "muon_learning_rate"} & optim.keys():
        return table
    rate = {} if table.get("tune") == ADAPTER else {"learning_rate": _TUNING_RATE}
    return {**table, "optim": {"optimizer": "adamw", **rate, **optim}}


def _export(table: dict[str, Any], where: str) -> None:
    config = build_config(table, ExportConfig, where)
    run, out, dtype = Path(config.run), Path(config.out), getattr(torch, DTYPES[config.dtype])
    is_codec = is_codec_run(run)
    if config.plot:
        plot_run(run, Path(config.plot), config.curves or _LOSSES[is_codec])
    if is_codec:
        saved = load_codec(run)
        export_codec(saved.model(), out, dtype, config.identity_lstm)
        step = saved.state.values["step"]
    else:
        megabytes = config.shard_megabytes
        shard_bytes = None if megabytes is None else round(megabytes * 1e6)
        codec = Path(config.codec) if config.codec else None
        guidance = GuidanceShape(config.unconditional_clock, config.negative_attributes)
        step = export_run(run, out, dtype, shard_bytes, guidance, codec)
    print(f"wrote {out} from step {step}")


# What several processes of torchrun may share.
_SHARED_STAGES = ("lm", "adapter")
_STAGES: dict[str, Callable[[dict[str, Any], str], None]] = {
    "data": _data,
    "encode": _encode,
    "codec": _codec,
    "decoder": _decoder,
    "lm": _lm,
    "adapter": _adapter,
    "export": _export,
}
