"""What a model is, small enough to be kept in a file beside what it made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from torch import Tensor

from musicgen_rt.errors import CheckpointError
from musicgen_rt.model.musicgen import MusicGen

_CONFIG_FIELDS = (
    "kind",
    "lm",
    "sampling_rate_hz",
    "hop_samples",
    "channels",
    "text_d_model",
    "chroma",
    "frame_conditioning",
    "guidance_scale",
)
_SAMPLED_VALUES = 64
# Int4's packed layout depends on the processor; its scales tell models apart as well.
_PROCESSOR_DEPENDENT = ".packed"


def model_identity(model: MusicGen) -> dict[str, Any]:
    """Config values, weight format and a fingerprint of the weights, as a value for `json.dumps`.

    The fingerprint hashes some values of every tensor: it tells checkpoints apart and is no proof.
    """
    values = asdict(model.config)
    config = {name: values[name] for name in _CONFIG_FIELDS}
    identity = {
        "config": config,
        "weight_format": model.weight_format.value,
        "fingerprint": _fingerprint(model),
    }
    plain: dict[str, Any] = json.loads(json.dumps(identity))  # tuples become lists, as in a file
    return plain


def require_same(found: Any, expected: Any, what: str, where: str) -> None:
    """Raise CheckpointError naming the first value in which two JSON values differ.

    `what` names the value and `where` says where `found` stands.
    """
    if isinstance(found, Mapping) and isinstance(expected, Mapping):
        for key in [*expected, *(key for key in found if key not in expected)]:
            require_same(found.get(key), expected.get(key), f"{what}.{key}", where)
    elif found != expected:
        raise CheckpointError(
            f"{where}: {what} is {str(found)[:200]}, expected {str(expected)[:200]} as in this "
            "engine; load the model and the options that it was made with"
        )


def _fingerprint(model: MusicGen) -> str:
    digest = hashlib.sha256()
    for name, tensor in _tensors(model):
        flat = tensor.detach().reshape(-1)
        some = flat[:: max(1, len(flat) // _SAMPLED_VALUES)]
        digest.update(f"{name} {list(tensor.shape)}".encode())
        digest.update(some.float().cpu().numpy().tobytes())
    return digest.hexdigest()[:32]


def _tensors(model: MusicGen) -> Iterator[tuple[str, Tensor]]:
    parts = {"lm": model.lm, "codec": model.codec.codec, "conditioner": model.conditioner}
    for part, module in parts.items():
        state = {} if module is None else module.state_dict()
        for name, tensor in state.items():
            if not name.endswith(_PROCESSOR_DEPENDENT):
                yield f"{part}.{name}", tensor
