"""How well the averaged weights do on clips and wordings that were not trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from musicgen_rt.train.lm_data import WindowBatch, WindowSampler
from musicgen_rt.train.lm_objective import LMObjective
from musicgen_rt.train.lm_records import PITCH_UNKNOWN, ROLE_UNKNOWN
from musicgen_rt.train.running_average import RunningAverage


class Validation:
    """The same windows each time, with all of their conditions and with none. One thread."""

    def __init__(self, sampler: WindowSampler, batches: int, device: torch.device) -> None:
        """`sampler` must not drop conditions."""
        self._sampler, self._batches, self._device = sampler, batches, device

    @torch.no_grad()
    def run(
        self, objective: LMObjective, trained: Mapping[str, Tensor], average: RunningAverage
    ) -> dict[str, float]:
        """Figures named `validation_*`; `validation_free_loss` is that without any condition.

        `trained` are the weights whose average is looked at; they are put back.
        """
        kept = {name: parameter.detach().clone() for name, parameter in trained.items()}
        objective.eval()
        try:
            for name, parameter in trained.items():
                parameter.copy_(average.tensors[name])
            return self._figures(objective)
        finally:
            for name, parameter in trained.items():
                parameter.copy_(kept[name])
            objective.train()

    def _figures(self, objective: LMObjective) -> dict[str, float]:
        sums: dict[str, float] = {}
        for step in range(self._batches):
            batch = self._sampler.windows(step).to(self._device)
            _, figures = objective(batch)
            figures = dict(figures)
            figures["free_loss"] = objective(without_conditions(batch))[1]["loss"]
            for name, value in figures.items():
                sums[name] = sums.get(name, 0.0) + float(value)
        return {f"validation_{name}": value / self._batches for name, value in sums.items()}


def without_conditions(batch: WindowBatch) -> WindowBatch:
    """The same windows as guidance's unconditional row sees them."""
    frames = replace(
        batch.frames,
        has_clock=torch.zeros_like(batch.frames.has_clock),
        pitch_class=torch.full_like(batch.frames.pitch_class, PITCH_UNKNOWN),
        attributes=torch.full_like(batch.frames.attributes, ROLE_UNKNOWN),
    )
    return replace(batch, frames=frames, has_text=torch.zeros_like(batch.has_text))
