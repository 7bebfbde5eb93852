"""Low-rank updates of frozen matrices (Hu et al. 2021, "LoRA", arXiv:2106.09685)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from musicgen_rt.train.lm_config import LoraConfig


class LoraLinear(nn.Module):
    """A frozen linear layer plus `scale / rank · up · down`; it starts equal to the layer."""

    def __init__(self, base: nn.Linear, config: LoraConfig) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        rows, columns = base.weight.shape
        self.down = nn.Parameter(torch.randn(config.rank, columns) * columns**-0.5)
        self.up = nn.Parameter(torch.zeros(rows, config.rank))
        self.scale = config.scale / config.rank

    def forward(self, x: Tensor) -> Tensor:
        """x [..., in] -> [..., out]."""
        down = nn.functional.linear(x, self.down)
        return self.base(x) + self.scale * nn.functional.linear(down, self.up)

    @torch.no_grad()
    def merged(self) -> Tensor:
        """The weight [out, in] that does the same alone."""
        return self.base.weight + self.scale * (self.up @ self.down)


def add_lora(module: nn.Module, config: LoraConfig) -> None:
    """Puts an update beside each linear layer whose name is among the targets, in place."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if name in config.targets and isinstance(child, nn.Linear):
                setattr(parent, name, LoraLinear(child, config))


def merge_lora(module: nn.Module) -> None:
    """Turns each updated layer back into a plain one, in place."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LoraLinear):
                child.base.weight.data = child.merged()
                setattr(parent, name, child.base)
