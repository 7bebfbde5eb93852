"""What a prompt asks for, read off the text encoder: style, key, tempo and instruments.

With them a prompt alone can set the tempo of the clock when no host gives one. A checkpoint that
has the heads keeps them in `text_attributes.safetensors`; what they can name is in its metadata.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from musicgen_rt.errors import CheckpointError
from musicgen_rt.model.checkpoint import Checkpoint
from musicgen_rt.model.text import TextEncoder

TEXT_ATTRIBUTES_WEIGHTS = "text_attributes.safetensors"
_METADATA_KEY = "musicgen_rt_text_attributes"
_NEAR_PART = 0.02
_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True)
class AttributeNames:
    """What can be said of a text; tempi are whole BPM from `lowest_bpm` to `highest_bpm`."""

    styles: tuple[str, ...]
    keys: tuple[str, ...]
    roles: tuple[str, ...]
    lowest_bpm: int
    highest_bpm: int

    @property
    def tempi(self) -> range:
        """The classes of the tempo head, in BPM."""
        return range(self.lowest_bpm, self.highest_bpm + 1)


def style_attribute(style: str) -> str:
    """The frame conditioners' attribute that stands for a style: "synth-pop" is synth_pop."""
    return _NOT_IN_NAMES.sub("_", style.lower()).strip("_")


class AttributeHeads(nn.Module):
    """One linear head an attribute, each over tokens that it weighs by a query of its own."""

    def __init__(self, d_text: int, names: AttributeNames) -> None:
        super().__init__()
        self.names = names
        sizes = {
            "style": len(names.styles),
            "key": len(names.keys),
            "bpm": len(names.tempi),
            "roles": len(names.roles),
        }
        self.queries = nn.ParameterDict(
            {name: nn.Parameter(torch.randn(d_text) * d_text**-0.5) for name in sizes}
        )
        self.outputs = nn.ModuleDict({name: nn.Linear(d_text, n) for name, n in sizes.items()})

    def forward(self, states: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """States [B, S, d_text] with a bool mask [B, S] -> logits [B, N] by name."""
        logits = {}
        for name, output in self.outputs.items():
            scores = (states @ self.queries[name]).masked_fill(~mask, -torch.inf)
            logits[name] = output((scores.softmax(1)[..., None] * states).sum(1))
        return logits


class TextAttributes:
    """Reads prompts with a checkpoint's own text encoder. One thread at a time."""

    def __init__(self, encoder: TextEncoder, heads: AttributeHeads) -> None:
        self._encoder, self._heads = encoder, heads.eval()

    @classmethod
    def load(cls, folder: Path) -> TextAttributes:
        """Raises CheckpointError if the folder is no checkpoint or has no attribute heads."""
        heads = load_heads(folder)
        with Checkpoint.open(folder) as checkpoint:
            return cls(TextEncoder.from_checkpoint(checkpoint), heads)

    @torch.no_grad()
    def predict(self, text: str) -> dict[str, Any]:
        """What a prompt asks for, or most likely means where it does not say.

        `bpm`, `style` and `key`, each with a `_confidence` 0-1 (that of the tempo counts what is
        within 2 % of it), and `instruments`: the probability that each role plays. Raises
        PromptError as `TextEncoder.encode` does.
        """
        states = self._encoder.encode(text)[None]
        mask = torch.ones(states.shape[:2], dtype=torch.bool)
        logits = {name: row[0] for name, row in self._heads(states, mask).items()}
        names = self._heads.names
        tempi = logits["bpm"].softmax(0)
        bpm = names.tempi[int(tempi.argmax())]
        near = torch.tensor([abs(tempo - bpm) <= _NEAR_PART * bpm for tempo in names.tempi])
        style, key = (logits[name].softmax(0) for name in ("style", "key"))
        roles = logits["roles"].sigmoid().tolist()
        return {
            "bpm": float(bpm),
            "bpm_confidence": float(tempi[near].sum()),
            "style": names.styles[int(style.argmax())],
            "style_confidence": float(style.max()),
            "key": names.keys[int(key.argmax())],
            "key_confidence": float(key.max()),
            "instruments": dict(zip(names.roles, roles, strict=True)),
        }


def save_heads(folder: Path, heads: AttributeHeads) -> None:
    """Writes the heads beside a checkpoint."""
    tensors = {name: tensor.detach().contiguous() for name, tensor in heads.state_dict().items()}
    metadata = {"format": "pt", _METADATA_KEY: json.dumps(asdict(heads.names))}
    path = folder / TEXT_ATTRIBUTES_WEIGHTS
    save_file(tensors, path, metadata=metadata)
    path.chmod(0o644)  # safetensors makes files that only their owner can read


def load_heads(folder: Path) -> AttributeHeads:
    """The heads of a checkpoint folder. Raises CheckpointError."""
    path = folder / TEXT_ATTRIBUTES_WEIGHTS
    try:
        with safe_open(path, framework="pt") as file:
            table = json.loads((file.metadata() or {})[_METADATA_KEY])
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        lists = {name: tuple(table[name]) for name in ("styles", "keys", "roles")}
        names = AttributeNames(**{**table, **lists})
        heads = AttributeHeads(tensors["queries.style"].shape[0], names)
        heads.load_state_dict(tensors)
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise CheckpointError(
            f"{path} does not hold attribute heads ({error!r}); expected a checkpoint that was "
            "trained with text_weight above 0"
        ) from error
    return heads.requires_grad_(False)
