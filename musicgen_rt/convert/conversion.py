"""`musicgen-rt convert`: an audiocraft checkpoint becomes a folder in our layout.

Everything is checked before a weight is written: the configurations against what our model can do,
the tensors' names and shapes against the configurations. Tensors keep the dtype they are stored in.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from musicgen_rt.convert.codec_config import codec_json
from musicgen_rt.convert.companions import Companion, find_codec, find_text_encoder
from musicgen_rt.convert.lm_config import LMDescription, describe_lm
from musicgen_rt.convert.lm_names import Part, is_derived, lm_parts
from musicgen_rt.convert.pickled_file import PickledFile, read_pickled
from musicgen_rt.convert.xp_config import KEY, XpConfig
from musicgen_rt.errors import CheckpointError
from musicgen_rt.model import hub, text
from musicgen_rt.model.checkpoint import CODEC_PREFIX, Checkpoint
from musicgen_rt.model.checkpoint_folder import new_folder, write_json, write_weights
from musicgen_rt.model.codec_config import CodecConfig
from musicgen_rt.model.codec_weights import codebook_name, names_from_package
from musicgen_rt.model.codec_weights import expected_shapes as codec_shapes
from musicgen_rt.model.config import ModelConfig
from musicgen_rt.model.expected_shapes import Shape, lm_shapes
from musicgen_rt.model.safetensors_file import FLOAT_DTYPES, TensorEntry

LM_FILE, CODEC_FILE = "state_dict.bin", "compression_state_dict.bin"

_PRETRAINED = "pretrained"
_FAULTS_SHOWN = 5
_THIRDS = 3


@dataclass(frozen=True)
class Planned:
    """A tensor to write: its shape, its size in bytes and how to get it."""

    shape: Shape
    dtype: str
    num_bytes: int
    get: Callable[[], torch.Tensor]


Plan = dict[str, Planned]


def convert(
    source: str, out: Path, *, text_encoder: str | None = None, codec: str | None = None
) -> ModelConfig:
    """Convert the checkpoint in the folder or of the hub id `source` into the new folder `out`.

    `text_encoder` and `codec` name a T5 and an EnCodec in transformers' layout, by folder or hub
    id, where those that the checkpoint names are not to be taken from the hub. The folder appears
    complete or not at all. Raises CheckpointError naming the file and what is wrong with it.
    """
    folder = hub.resolve(source, wanted=(LM_FILE, CODEC_FILE), needed=(LM_FILE, CODEC_FILE))
    with new_folder(out) as partial, tempfile.TemporaryDirectory(dir=partial.parent) as scratch:
        lm_file = read_pickled(folder / LM_FILE, Path(scratch) / "lm")
        codec_file = read_pickled(folder / CODEC_FILE, Path(scratch) / "codec")
        codec_config, codec_plan = _codec(codec_file, codec)
        lm_config = XpConfig.parse(lm_file.text(KEY), str(lm_file.path))
        description = describe_lm(lm_config, CodecConfig.from_json(codec_config))
        codec_config, codec_plan = _as_modelled(codec_config, codec_plan, description)
        encoder = find_text_encoder(text_encoder, description.conditioners.t5_name)
        config = _write_json_files(partial, description, codec_config, encoder, lm_file)
        plan = (
            _lm_plan(lm_file, description) | codec_plan | _text_plan(lm_file, encoder, description)
        )
        plan = _checked(plan, config, str(lm_file.path))
        encoder.copy_tokenizer(partial)
        write_weights(
            partial,
            {name: planned.num_bytes for name, planned in plan.items()},
            lambda name: plan[name].get(),
        )
        Checkpoint.open(partial).close()
    return config


def _codec(file: PickledFile, given: str | None) -> tuple[dict[str, Any], Plan]:
    """The codec's config and tensors, from the file itself or from the codec that it names."""
    name = file.text(_PRETRAINED)
    if given is not None or name is not None:
        companion = find_codec(given, name or "")
        where, entries, get = companion.folder, companion.entries, companion.tensor
        config = dict(companion.config)
        names = {key: key for key in entries}
    else:
        xp_config = XpConfig.parse(file.text(KEY), str(file.path))
        where, config = file.path, codec_json(xp_config)
        entries, get = file.entries, file.tensor
        names = {key: names_from_package(key) for key in entries}
    try:
        CodecConfig.from_json(config)
    except CheckpointError as error:
        raise CheckpointError(f"{where}: {error}") from error
    plan = {CODEC_PREFIX + new: _whole(entries[old], get, old) for old, new in names.items()}
    return config, plan


def _as_modelled(
    config: dict[str, Any], plan: Plan, description: LMDescription
) -> tuple[dict[str, Any], Plan]:
    """Of a codec with more codebooks than are modelled (of a channel): the first, coarse ones."""
    own, decoder = CodecConfig.from_json(config), description.config["decoder"]
    codebooks = decoder["num_codebooks"] // decoder["audio_channels"]
    if own.num_codebooks == codebooks:
        return config, plan
    kbits_a_second = codebooks * own.bits_a_second_a_codebook / 1000
    finer = tuple(
        CODEC_PREFIX + codebook_name(level).removesuffix("embed")  # and the buffers beside it
        for level in range(codebooks, own.num_codebooks)
    )
    kept = {name: planned for name, planned in plan.items() if not name.startswith(finer)}
    return {**config, "target_bandwidths": [kbits_a_second]}, kept


def _write_json_files(
    folder: Path,
    description: LMDescription,
    codec_config: Mapping[str, Any],
    encoder: Companion,
    lm_file: PickledFile,
) -> ModelConfig:
    """Write the JSON files; the config that they give, checked. Raises CheckpointError."""
    root = {
        **description.config,
        "text_encoder": dict(encoder.config),
        "audio_encoder": dict(codec_config),
    }
    generation, preprocessor = description.generation, description.preprocessor
    try:
        config = ModelConfig.from_json(root, generation=generation, preprocessor=preprocessor)
        if config.text_d_model == config.lm.d_model:
            # audiocraft projects the text even where it has the model's width already.
            root["has_text_projection"] = True
            config = ModelConfig.from_json(root, generation=generation, preprocessor=preprocessor)
    except CheckpointError as error:
        raise CheckpointError(
            f"{lm_file.path}: what it describes is not supported: {error}"
        ) from error
    write_json(folder / "config.json", root)
    write_json(folder / "generation_config.json", generation)
    write_json(folder / "preprocessor_config.json", preprocessor)
    return config


def _lm_plan(file: PickledFile, description: LMDescription) -> Plan:
    """The language model's tensors under our names. Raises CheckpointError for foreign ones."""
    decoder, conditioners = description.config["decoder"], description.conditioners
    stored = frozenset(file.entries)
    parts = lm_parts(decoder["num_hidden_layers"], decoder["num_codebooks"], conditioners, stored)
    present = {name: part for name, part in parts.items() if part.name in stored}
    used = {part.name for part in present.values()}
    own_text = f"{conditioners.text_prefix}.t5."
    unknown = sorted(
        name
        for name in stored - used
        if not is_derived(name, conditioners) and not name.startswith(own_text)
    )
    if unknown:
        raise CheckpointError(
            f"{file.path}: tensor {unknown[0]} (of {len(unknown)} like it) has no place in the "
            f"model that its {KEY} describes"
        )
    return {name: _part(file, part) for name, part in present.items()}


def _part(file: PickledFile, part: Part) -> Planned:
    entry = file.entries[part.name]
    if part.third is None:
        return _whole(entry, file.tensor, part.name)
    rows, rest = entry.shape[0] // _THIRDS, entry.shape[1:]
    third = part.third

    def get() -> torch.Tensor:
        return file.tensor(part.name)[third * rows : (third + 1) * rows].clone()

    # Rows that are no three thirds show in the shape, which is checked.
    num_bytes = (entry.end - entry.begin) // _THIRDS
    shape = (rows, *rest) if entry.shape[0] == _THIRDS * rows else entry.shape
    return Planned(shape, entry.dtype, num_bytes, get)


def _whole(entry: TensorEntry, get: Callable[[str], torch.Tensor], name: str) -> Planned:
    return Planned(entry.shape, entry.dtype, entry.end - entry.begin, lambda: get(name))


def _text_plan(file: PickledFile, encoder: Companion, description: LMDescription) -> Plan:
    """The text encoder's tensors: the checkpoint's own where it was trained along."""
    own_prefix = f"{description.conditioners.text_prefix}.t5."
    layout = text.TextEncoderLayout.from_json(encoder.config)
    repeated = {name for names in layout.ties for name in names[1:]}
    plan: Plan = {}
    for name in layout.shapes:
        own = own_prefix + name
        if name in repeated:
            continue
        if own in file.entries:
            plan[text.PREFIX + name] = _whole(file.entries[own], file.tensor, own)
        elif name in encoder.entries:
            plan[text.PREFIX + name] = _whole(encoder.entries[name], encoder.tensor, name)
    return plan


def _checked(plan: Plan, config: ModelConfig, where: str) -> Plan:
    """The plan, if it has every tensor that the config asks for, in its shape."""
    layout = text.TextEncoderLayout.from_json(config.text_encoder_json)
    repeated = {name for names in layout.ties for name in names[1:]}
    expected = lm_shapes(config)
    expected |= {CODEC_PREFIX + k: v for k, v in codec_shapes(config.codec_json).items()}
    expected |= {text.PREFIX + k: v for k, v in layout.shapes.items() if k not in repeated}
    by_name = {_present_spelling(name): planned for name, planned in plan.items()}
    faults = []
    for name, shape in expected.items():
        planned = by_name.get(name)
        if planned is None:
            faults.append(f"{name} is missing, expected {list(shape)}")
        elif planned.shape != shape:
            faults.append(f"{name} has shape {list(planned.shape)}, expected {list(shape)}")
        elif planned.dtype not in FLOAT_DTYPES:
            faults.append(f"{name} is {planned.dtype}, expected one of {', '.join(FLOAT_DTYPES)}")
    if faults:
        more = len(faults) - _FAULTS_SHOWN
        tail = f" (and {more} more)" if more > 0 else ""
        raise CheckpointError(
            f"{where}: its tensors contradict its {KEY}: {'; '.join(faults[:_FAULTS_SHOWN])}{tail}"
        )
    return by_name


def _present_spelling(name: str) -> str:
    """Weight norm in torch's present spelling."""
    for old, new in (("weight_g", "original0"), ("weight_v", "original1")):
        if name.endswith(f".{old}"):
            return f"{name.removesuffix(old)}parametrizations.weight.{new}"
    return name
