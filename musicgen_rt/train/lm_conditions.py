"""Frame conditioners that learn: the same sums as `model.frame_conditioning`, over batches."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from musicgen_rt.model.config import ClockConfig, FrameConditioningConfig
from musicgen_rt.model.expected_shapes import ATTRIBUTE_ROWS, FRAME_CHROMA_ROWS
from musicgen_rt.model.frame_conditioning import REFERENCE_BPM, clock_feature_tensor

_START_STD = 0.02


@dataclass(frozen=True)
class FrameBatch:
    """Conditions of B windows of T frames.

    Clock values are [B, T], `has_clock` says where they are asked. `pitch_class` [B, T] is 0-12,
    or 13 for its null; `attributes` [B, A, T] are off, on, or 2 for their null.
    """

    bar_phase: Tensor
    beat_phase: Tensor
    beats_per_bar: Tensor
    bpm: Tensor
    has_clock: Tensor
    pitch_class: Tensor
    attributes: Tensor

    def to(self, device: torch.device) -> FrameBatch:
        """The same on a device."""
        return FrameBatch(**{name: tensor.to(device) for name, tensor in vars(self).items()})


def batched_clock_features(frames: FrameBatch, config: ClockConfig) -> Tensor:
    """The clock features of a batch: [B, T, F], see `clock_feature_tensor`."""
    # What has no clock may have any tempo; its features are not used, but must be finite.
    bpm = torch.where(frames.has_clock, frames.bpm.double(), REFERENCE_BPM)
    return clock_feature_tensor(
        frames.bar_phase, frames.beat_phase, frames.beats_per_bar.long(), bpm, config
    )


class TrainableConditioner(nn.Module):
    """Embeds frame conditions, in float32. Starts near zero, so that it can join a trained model.

    `tensors()` are those of `frame_conditioning.safetensors`.
    """

    def __init__(self, config: FrameConditioningConfig, d_model: int) -> None:
        super().__init__()
        self.config = config
        if config.clock is not None:
            self.clock_weight = _parameter(d_model, config.clock.num_features)
            self.clock_bias = nn.Parameter(torch.zeros(d_model))
            self.clock_null = nn.Parameter(torch.zeros(d_model))
        if config.chroma:
            self.chroma_weight = _parameter(FRAME_CHROMA_ROWS, d_model)
            self.chroma_null = nn.Parameter(torch.zeros(d_model))
        # Lists: an attribute's name may be one that a module has already, as "keys".
        self.attribute_weights = nn.ParameterList(
            [_parameter(ATTRIBUTE_ROWS, d_model) for _ in config.attributes]
        )
        self.attribute_nulls = nn.ParameterList(
            [nn.Parameter(torch.zeros(d_model)) for _ in config.attributes]
        )

    def forward(self, frames: FrameBatch) -> Tensor:
        """What is added to the decoder's input: float32 [B, T, D]."""
        parts = []
        tables = zip(self.attribute_weights, self.attribute_nulls, strict=True)
        for index, (weight, null) in enumerate(tables):
            parts.append(_looked_up(weight, null, frames.attributes[:, index]))
        if self.config.clock is not None:
            features = batched_clock_features(frames, self.config.clock)
            clock = nn.functional.linear(features, self.clock_weight, self.clock_bias)
            parts.append(torch.where(frames.has_clock[..., None], clock, self.clock_null))
        if self.config.chroma:
            parts.append(_looked_up(self.chroma_weight, self.chroma_null, frames.pitch_class))
        return torch.stack(parts).sum(0)

    def tensors(self) -> dict[str, Tensor]:
        """The parameters under the names of the checkpoint's file."""
        named: dict[str, Tensor] = {}
        if self.config.clock is not None:
            named["clock.weight"] = self.clock_weight
            named["clock.bias"] = self.clock_bias
            named["clock.null"] = self.clock_null
        if self.config.chroma:
            named["chroma.weight"] = self.chroma_weight
            named["chroma.null"] = self.chroma_null
        for index, name in enumerate(self.config.attributes):
            named[f"attributes.{name}.weight"] = self.attribute_weights[index]
            named[f"attributes.{name}.null"] = self.attribute_nulls[index]
        return named


def _parameter(rows: int, columns: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(rows, columns) * _START_STD)


def _looked_up(weight: Tensor, null: Tensor, index: Tensor) -> Tensor:
    """Rows of the weight, and the null for the index after its last: [B, T, D]."""
    return nn.functional.embedding(index, torch.cat([weight, null[None]]))
