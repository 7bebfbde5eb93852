"""The Muon optimiser for weights of two or more dimensions (Jordan et al. 2024).

torch's own takes matrices only; here a convolution's weight is seen as one row a first
index. The update's size follows Liu et al. 2025 (arXiv:2502.16982, section 2.2): its RMS is
that of AdamW, so learning rates carry over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
_ROUNDS = 5
_ADAMW_RMS = 0.2


class Muon(torch.optim.Optimizer):
    """Nesterov momentum whose update is made orthogonal.

    `params` must have two or more dimensions; biases and gains belong to AdamW.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One update from the gradients; `closure` is not used."""
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is None:
                    continue
                state = self.state[param]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(param)
                momentum = state["momentum"].lerp_(param.grad, 1 - group["momentum"])
                direction = param.grad.lerp(momentum, group["momentum"])
                matrix = direction.reshape(direction.shape[0], -1)
                scale = _ADAMW_RMS * max(matrix.shape) ** 0.5
                update = orthogonalise(matrix).view_as(param)
                param.mul_(1 - group["lr"] * group["weight_decay"])
                param.add_(update.to(param.dtype), alpha=-group["lr"] * scale)


def orthogonalise(matrix: Tensor) -> Tensor:
    """Brings the singular values of [M, N] near 1 by Newton-Schulz rounds in bfloat16."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).bfloat16()
    x = x / (x.norm() + 1e-7)
    first, third, fifth = _NEWTON_SCHULZ
    for _ in range(_ROUNDS):
        gram = x @ x.T
        x = torch.addmm(x, third * gram + fifth * gram @ gram, x, beta=first)
    return x.T if tall else x
