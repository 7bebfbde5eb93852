"""Losses of unlike scales, each given a stated share of the gradient.

After the balancer of EnCodec (Défossez et al. 2022, section 3.4), which the released encodec
package does not have. There every loss is rescaled; here one, the reference, keeps its gradient,
so that what a run was tuned for stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

_DECAY = 0.99
_TINY = 1e-12
REFERENCE = "reference"


class GradientBalancer:
    """Sums gradients; keeps running means of their norms. [one thread]"""

    def __init__(self) -> None:
        # Of each loss the decaying sum of its norms, and that of ones: their quotient is the mean.
        self.sums: dict[str, tuple[float, float]] = {}

    def gradient(
        self,
        reference: Tensor,
        others: Mapping[str, Tensor],
        weights: Mapping[str, float],
        output: Tensor,
    ) -> Tensor:
        """The gradient of the balanced losses with respect to `output` [B, C, N].

        That of `reference` is taken as it is; each of the `others` is scaled so that its mean norm
        is `weights[name]` times the reference's. A weight of 0 leaves a loss out.
        """
        total = _gradient(reference, output)
        level = self._mean_norm(REFERENCE, total)
        for name, loss in others.items():
            if weights[name] > 0:
                gradient = _gradient(loss, output)
                scale = weights[name] * level / (self._mean_norm(name, gradient) + _TINY)
                total = total + scale * gradient
        return total

    def _mean_norm(self, name: str, gradient: Tensor) -> float:
        """The mean norm of a row of a loss's gradients, this one included."""
        norm = float(gradient.flatten(1).norm(dim=1).mean())
        norms, ones = self.sums.get(name, (0.0, 0.0))
        norms, ones = _DECAY * norms + norm, _DECAY * ones + 1
        self.sums[name] = (norms, ones)
        return norms / ones


def _gradient(loss: Tensor, output: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(loss, output, retain_graph=True)
    return gradient
