"""Frame conditioners: what is added to the decoder's input at each frame.

The host's clock, the melody's pitch class and attributes such as drums on/off become embeddings
that are summed into the input of the step that makes the frame (the "sum" fusing of AudioCraft).
Each has a null of its own, used where nothing is asked and in the unconditional row of guidance,
which may hear a share of the clock, and that what is told to be off is on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from musicgen_rt.contract.timeline import ClockPoint
from musicgen_rt.errors import CheckpointError
from musicgen_rt.model.config import ClockConfig, FrameConditioningConfig

CHROMA_REST = 12
REFERENCE_BPM = 120.0
_MAX_SUMS = 256
AttributeStates = tuple[tuple[str, bool], ...]


@dataclass(frozen=True)
class FrameConditions:
    """What is asked of one frame; None (and an attribute not named) is that condition's null.

    `pitch_class` is 0-11, or 12 for a rest. `attributes` holds (name, on) pairs.
    """

    clock: ClockPoint | None = None
    pitch_class: int | None = None
    attributes: AttributeStates = ()


NO_CONDITIONS = FrameConditions()


def clock_features(points: Sequence[ClockPoint], config: ClockConfig) -> Tensor:
    """The input of the clock embedding for single moments: [T, F], see `clock_feature_tensor`."""
    bar = torch.tensor([point.bar_phase for point in points], dtype=torch.float64)
    beat = torch.tensor([point.beat_phase for point in points], dtype=torch.float64)
    metre = torch.tensor([point.beats_per_bar for point in points], dtype=torch.float64)
    bpm = torch.tensor([point.bpm for point in points], dtype=torch.float64)
    return clock_feature_tensor(bar, beat, metre.round().long(), bpm, config)


def clock_feature_tensor(
    bar_phase: Tensor, beat_phase: Tensor, beats_per_bar: Tensor, bpm: Tensor, config: ClockConfig
) -> Tensor:
    """The input of the clock embedding: four tensors [...] -> float32 [..., F].

    F = `config.num_features`: sines then cosines of the bar phase's harmonics, the same of the beat
    phase, one-hot beats in the bar (int64; a longer bar than the model knows counts as its
    longest), octaves from 120 BPM. Computed in float64.
    """
    index = (beats_per_bar - 1).clamp(0, config.max_beats_per_bar - 1)
    parts = [
        *_harmonics(bar_phase.double(), config.bar_harmonics),
        *_harmonics(beat_phase.double(), config.beat_harmonics),
        nn.functional.one_hot(index, config.max_beats_per_bar),
        torch.log2(bpm.double() / REFERENCE_BPM)[..., None],
    ]
    return torch.cat([part.float() for part in parts], dim=-1)


def _harmonics(phase: Tensor, count: int) -> tuple[Tensor, Tensor]:
    numbers = torch.arange(1, count + 1, dtype=torch.float64, device=phase.device)
    angles = 2 * math.pi * phase[..., None] * numbers
    return angles.sin(), angles.cos()


class FrameConditioner(nn.Module):
    """Embeds frame conditions: float32 throughout, since it is small and runs once a frame.

    Tensors are those of `frame_conditioning.safetensors` (`expected_shapes` has names and shapes).
    Raises CheckpointError for a config without any conditioner.
    """

    def __init__(self, config: FrameConditioningConfig, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        if config.clock is None and not config.chroma and not config.attributes:
            raise CheckpointError(
                "config.json: frame_conditioning names no conditioner, expected clock, chroma or "
                "attributes; leave it out for an ordinary checkpoint"
            )
        self.config = config
        for name, tensor in tensors.items():
            self.register_buffer(name.replace(".", "_"), tensor.float())
        # Performers set few combinations, and frames ask for them thousands of times.
        self._attribute_sums: dict[AttributeStates, Tensor] = {}

    def forward(self, conditions: Sequence[FrameConditions]) -> Tensor:
        """Conditions of T frames -> what is added to the decoder's input: float32 [T, D]."""
        parts = []
        if self.config.attributes:
            parts.append(torch.stack([self._attribute_sum(c.attributes) for c in conditions]))
        if self.config.clock is not None:
            parts.append(self._clock(self.config.clock, [c.clock for c in conditions]))
        if self.config.chroma:
            parts.append(self._looked_up("chroma", [c.pitch_class for c in conditions]))
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total

    def unconditional(self, conditions: Sequence[FrameConditions]) -> Tensor:
        """What guidance's unconditional row is given in T frames: float32 [T, D].

        All nulls, but the clock as far as `unconditional_clock` says, and those of
        `negative_attributes` on that are told to be off.
        """
        base = self([FrameConditions(attributes=self._negated(c.attributes)) for c in conditions])
        share = self.config.unconditional_clock
        if self.config.clock is None or share == 0.0:
            return base
        clock = self._clock(self.config.clock, [c.clock for c in conditions])
        return base + share * (clock - self.get_buffer("clock_null"))

    def _negated(self, states: AttributeStates) -> AttributeStates:
        negative = self.config.negative_attributes
        return tuple((name, True) for name, is_on in states if name in negative and not is_on)

    def _attribute_sum(self, states: AttributeStates) -> Tensor:
        """All attributes together: [D]."""
        if states not in self._attribute_sums:
            if len(self._attribute_sums) >= _MAX_SUMS:
                self._attribute_sums.clear()
            told = dict(states)
            rows = [
                self._looked_up(f"attributes_{name}", [told.get(name)])[0]
                for name in self.config.attributes
            ]
            self._attribute_sums[states] = torch.stack(rows).sum(0)
        return self._attribute_sums[states]

    def _clock(self, config: ClockConfig, points: Sequence[ClockPoint | None]) -> Tensor:
        null = self.get_buffer("clock_null")
        told = [index for index, point in enumerate(points) if point is not None]
        embedded = null.repeat(len(points), 1)
        if told:
            features = clock_features([p for p in points if p is not None], config).to(null.device)
            weight, bias = self.get_buffer("clock_weight"), self.get_buffer("clock_bias")
            # Row by row: a product of many rows may round otherwise than that of one.
            embedded[told] = torch.stack([weight @ row for row in features]) + bias
        return embedded

    def _looked_up(self, name: str, rows: Sequence[int | None]) -> Tensor:
        """The weight's rows, and the null for None: [T, D]."""
        weight, null = self.get_buffer(f"{name}_weight"), self.get_buffer(f"{name}_null")
        table = torch.cat([weight, null[None]])
        index = [len(weight) if row is None else int(row) for row in rows]
        return table[torch.tensor(index, device=table.device)]
