"""The running average of the weights in training: what is evaluated and exported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor


class RunningAverage:
    """An exponential average of the trained weights; short at first, so that it soon means some."""

    def __init__(self, parameters: Mapping[str, Tensor], decay: float) -> None:
        self.decay = decay
        self.tensors = {name: p.detach().clone() for name, p in parameters.items()}

    @torch.no_grad()
    def follow(self, parameters: Iterable[Tensor], step: int) -> None:
        """Moves towards the parameters, which are in the order of the first ones."""
        decay = min(self.decay, (1 + step) / (10 + step))
        current = [parameter.detach() for parameter in parameters]
        torch._foreach_lerp_(list(self.tensors.values()), current, 1 - decay)
