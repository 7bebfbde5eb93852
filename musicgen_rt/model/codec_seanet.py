"""SEANet: the encoder and the decoder of EnCodec as stacks of layers (Défossez et al. 2022)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from musicgen_rt.errors import ParameterError
from musicgen_rt.model.codec_config import TIME_GROUP_NORM, CodecConfig
from musicgen_rt.model.codec_layers import Layer, build_layer

_FRAMES = "frames"
_KEPT = "kept."


@dataclass(frozen=True)
class StreamState:
    """Where a streaming decode stands: an immutable value that can be resumed any number of times.

    `frames` frames have been fed; `kept` holds what each layer keeps. Never write to the tensors.
    """

    frames: int
    kept: tuple[Tensor, ...]

    def tensors(self) -> dict[str, Tensor]:
        """The state as a flat dictionary of tensors, for a snapshot."""
        named = {f"{_KEPT}{i}": tensor for i, tensor in enumerate(self.kept)}
        return {_FRAMES: torch.tensor(self.frames), **named}


class Seanet(nn.Module):
    """A stack of layers over [T, B, C] rows, run whole or as a stream."""

    def __init__(self, config: CodecConfig, part: str) -> None:
        super().__init__()
        plan = config.encoder_plan if part == "encoder" else config.decoder_plan
        is_normed = config.norm_type == TIME_GROUP_NORM
        self.layers = nn.ModuleList(build_layer(spec, config.pad_mode, is_normed) for spec in plan)

    def _stack(self) -> tuple[Layer, ...]:
        return cast(tuple[Layer, ...], tuple(self.layers))

    @property
    def dtype(self) -> torch.dtype:
        """The dtype that the layers compute in."""
        return next(self.parameters()).dtype

    def forward(self, signal: Tensor) -> Tensor:
        """Run a whole signal [T, B, C], T > 0, through all layers."""
        for layer in self._stack():
            signal, _ = layer.push(signal, layer.start(signal.shape[1]), 0, True)
        return signal

    def start(self, batch: int) -> StreamState:
        """The state of a stream of `batch` rows before its first frame."""
        return StreamState(0, tuple(layer.start(batch) for layer in self._stack()))

    def push(self, signal: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
        """Feed rows [T, B, C]; return the rows that are final now, and the new state."""
        frames = state.frames + len(signal)
        signal, kept = self._run(signal, state, last=False)
        return signal, StreamState(frames, tuple(kept))

    def finish(self, state: StreamState) -> Tensor:
        """The last rows of a stream of at least one frame. `state` stays usable."""
        batch = state.kept[0].shape[1]
        nothing = state.kept[0].new_zeros(0, batch, state.kept[0].shape[2])
        return self._run(nothing, state, last=True)[0]

    def _run(
        self, signal: Tensor, state: StreamState, *, last: bool
    ) -> tuple[Tensor, list[Tensor]]:
        fed = state.frames
        all_kept = []
        for layer, before in zip(self._stack(), state.kept, strict=True):
            signal, after = layer.push(signal, before, fed, last)
            all_kept.append(after)
            fed = layer.spec.ready(fed)
        return signal, all_kept

    def state_from_tensors(self, tensors: Mapping[str, Tensor]) -> StreamState:
        """Rebuild a state from `StreamState.tensors`, on this module's device and in its dtype.

        Raises ParameterError for a tensor that is missing or of another shape than this codec's.
        """
        frames = read_count(tensors, _FRAMES)
        batch = _read(tensors, f"{_KEPT}0").shape[1]
        device, dtype = next(self.parameters()).device, self.dtype
        kept = []
        fed = frames
        for index, layer in enumerate(self._stack()):
            name = f"{_KEPT}{index}"
            tensor = _read(tensors, name)
            check_shape(name, tensor, layer.kept_shape(batch, fed))
            kept.append(tensor.to(device=device, dtype=dtype))
            fed = layer.spec.ready(fed)
        return StreamState(frames, tuple(kept))


def _read(tensors: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in tensors:
        raise ParameterError(
            f"codec state: tensor {name!r} is missing, found {sorted(tensors)}; "
            "was the state saved from another kind of codec?"
        )
    return tensors[name]


def read_count(tensors: Mapping[str, Tensor], name: str) -> int:
    """Read a count of at least 0 out of a state; raises ParameterError."""
    tensor = _read(tensors, name)
    if tensor.dim() or tensor.is_floating_point() or int(tensor) < 0:
        raise ParameterError(f"codec state: {name} is {tensor}, expected a count of at least 0")
    return int(tensor)


def check_shape(name: str, tensor: Tensor, expected: tuple[int, ...]) -> None:
    """Raise ParameterError unless `tensor` has the `expected` shape."""
    if tuple(tensor.shape) != expected:
        raise ParameterError(
            f"codec state: tensor {name} has shape {list(tensor.shape)}, expected "
            f"{list(expected)}; was the state saved from another codec?"
        )
