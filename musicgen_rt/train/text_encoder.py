"""The text encoder in training: built with random weights, fed with tokens, kept on its facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModelForTextEncoding

from musicgen_rt.model.text_attributes import AttributeHeads, AttributeNames
from musicgen_rt.train.lm_records import ROLES, ClipEntry, StatedCaption
from musicgen_rt.train.music.styles import STYLES
from musicgen_rt.train.music.theory import MODES, PITCH_CLASS_NAMES

# A fact that a caption does not state can only be guessed from the ones that it does.
_UNSTATED_WEIGHT = 0.1
_LOWEST_BPM, _HIGHEST_BPM = 40, 220
_NONE = -1
# How far a tempo may be off and count as right, as a share of it.
_TEMPO_TOLERANCE = 0.02


def build_text_encoder(text_encoder_json: Mapping[str, Any]) -> nn.Module:
    """The encoder of a checkpoint's config with random weights."""
    values = {key: value for key, value in text_encoder_json.items() if key != "auto_map"}
    config = AutoConfig.for_model(values.pop("model_type", "t5"), **values)
    model: nn.Module = AutoModelForTextEncoding.from_config(config)
    return model


def generator_names() -> AttributeNames:
    """What can be said of the generator's music."""
    keys = tuple(f"{tonic} {mode}" for mode in MODES for tonic in PITCH_CLASS_NAMES)
    return AttributeNames(tuple(STYLES), keys, ROLES, _LOWEST_BPM, _HIGHEST_BPM)


def tokenise(tokenizer: Any, texts: Sequence[str], longest: int) -> tuple[Tensor, Tensor]:
    """Texts -> ids [B, S] and a bool mask [B, S]; a long one is cut, its end token kept."""
    rows = []
    for text in texts:
        row = list(tokenizer(text).input_ids)
        rows.append(row if len(row) <= longest else [*row[: longest - 1], row[-1]])
    length = max(len(row) for row in rows)
    ids = torch.zeros(len(rows), length, dtype=torch.int64)
    mask = torch.zeros(len(rows), length, dtype=torch.bool)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row)
        mask[index, : len(row)] = True
    return ids, mask


@dataclass(frozen=True)
class AttributeTargets:
    """The facts of B clips as classes, -1 where there is none, with weights 0-1.

    `style`, `key` and `bpm` are int64 [B], `roles` [B, R]; the weights have the same shapes.
    """

    style: Tensor
    key: Tensor
    bpm: Tensor
    roles: Tensor
    style_weight: Tensor
    key_weight: Tensor
    bpm_weight: Tensor
    roles_weight: Tensor

    def to(self, device: torch.device) -> AttributeTargets:
        """The same on a device."""
        return AttributeTargets(**{name: tensor.to(device) for name, tensor in vars(self).items()})


def attribute_targets(
    captions: Sequence[StatedCaption], facts: Sequence[Mapping[str, Any]], names: AttributeNames
) -> AttributeTargets:
    """Targets of captions whose clips have `facts`."""
    values: dict[str, list[Any]] = {}
    for caption, sheet in zip(captions, facts, strict=True):
        known = {**sheet, **caption.facts}
        for kind, allowed in _classes(names):
            value = known.get(kind)
            place = allowed.index(value) if value in allowed else _NONE
            values.setdefault(kind, []).append(place)
            values.setdefault(f"{kind}_weight", []).append(_weight(place, kind in caption.facts))
        places = [_NONE if known.get(role) is None else int(known[role]) for role in names.roles]
        stated = [role in caption.facts for role in names.roles]
        values.setdefault("roles", []).append(places)
        values.setdefault("roles_weight", []).append(list(map(_weight, places, stated)))
    return AttributeTargets(**{name: torch.tensor(rows) for name, rows in values.items()})


def taught_attributes(clips: Iterable[ClipEntry], names: AttributeNames) -> set[str]:
    """What some clip has a target for: of `style`, `key`, `bpm` and the roles."""
    taught: set[str] = set()
    for clip in clips:
        for stated in ({}, *(caption.facts for caption in clip.captions)):
            known = {**clip.facts, **stated}
            taught |= {kind for kind, allowed in _classes(names) if known.get(kind) in allowed}
            taught |= {role for role in names.roles if known.get(role) is not None}
    return taught


def _classes(names: AttributeNames) -> tuple[tuple[str, Sequence[Any]], ...]:
    return ("style", names.styles), ("key", names.keys), ("bpm", names.tempi)


def _weight(place: int, is_stated: bool) -> float:
    if place == _NONE:
        return 0.0
    return 1.0 if is_stated else _UNSTATED_WEIGHT


def attribute_losses(
    heads: AttributeHeads, states: Tensor, mask: Tensor, targets: AttributeTargets
) -> dict[str, Tensor]:
    """Weighted cross entropies in nats, by head, and the share of stated facts that are right.

    Of a tempo what lies within 2 % is right.
    """
    logits = heads(states.float(), mask)
    losses: dict[str, Tensor] = {}
    for name in ("style", "key", "bpm"):
        target, weight = getattr(targets, name).clamp(min=0), getattr(targets, f"{name}_weight")
        said = logits[name].argmax(1)
        entropy = functional.cross_entropy(logits[name], target, reduction="none")
        right = said == target
        if name == "bpm":
            bpm = target + heads.names.lowest_bpm
            right = (said - target).abs() <= _TEMPO_TOLERANCE * bpm
        losses[f"text_{name}"] = _weighted(entropy, weight)
        losses[f"text_{name}_right"] = _weighted(right.float(), (weight == 1.0).float()).detach()
    entropy = functional.binary_cross_entropy_with_logits(
        logits["roles"], targets.roles.clamp(min=0).float(), reduction="none"
    )
    losses["text_roles"] = _weighted(entropy, targets.roles_weight)
    right = ((logits["roles"] > 0) == (targets.roles == 1)).float()
    stated = (targets.roles_weight == 1.0).float()
    losses["text_roles_right"] = _weighted(right, stated).detach()
    return losses


def _weighted(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum() / weights.sum().clamp(min=1.0)
