"""The codec's optimisers and the schedule of their learning rates."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from musicgen_rt.errors import ParameterError
from musicgen_rt.train.config import require_range
from musicgen_rt.train.muon import Muon


@dataclass(frozen=True)
class CodecOptimConfig:
    """The optimiser and its schedule: linear warm-up, then cosine to `final_part`.

    Muon's steps have a fixed size, so its weights grow without end unless they decay; its decay
    bounds a layer's gain at about 0.2 · √(columns) / `muon_weight_decay`.
    """

    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    muon_learning_rate: float = 2e-3
    weight_decay: float = 0.0
    muon_weight_decay: float = 0.3
    beta1: float = 0.8
    beta2: float = 0.99
    warmup_steps: int = 100
    final_part: float = 0.01
    average_decay: float = 0.998

    def __post_init__(self) -> None:
        if self.optimizer not in ("adamw", "muon"):
            raise ParameterError(f"optim.optimizer is {self.optimizer!r}; allowed: adamw, muon")
        require_range("optim.learning_rate", self.learning_rate, 1e-8, 1.0)
        require_range("optim.muon_learning_rate", self.muon_learning_rate, 1e-8, 1.0)
        require_range("optim.weight_decay", self.weight_decay, 0.0, 100.0)
        require_range("optim.muon_weight_decay", self.muon_weight_decay, 0.0, 100.0)
        require_range("optim.beta1", self.beta1, 0.0, 0.9999)
        require_range("optim.beta2", self.beta2, 0.0, 0.999999)
        require_range("optim.warmup_steps", self.warmup_steps, 0, 1_000_000)
        require_range("optim.final_part", self.final_part, 0.0, 1.0)
        require_range("optim.average_decay", self.average_decay, 0.0, 0.99999)


def make_optimizers(model: nn.Module, config: CodecOptimConfig) -> dict[str, torch.optim.Optimizer]:
    """Muon for the inner convolutions when asked for, AdamW for all else."""
    betas = (config.beta1, config.beta2)
    parameters = list(model.parameters())
    optimizers: dict[str, torch.optim.Optimizer] = {}
    if config.optimizer == "muon":
        # The first and the last convolution see one audio channel: nothing to make orthogonal.
        inner = [p for p in parameters if p.ndim >= 2 and min(p.shape[:2]) > 1]
        chosen = {id(p) for p in inner}
        parameters = [p for p in parameters if id(p) not in chosen]
        optimizers["muon"] = Muon(
            inner, lr=config.muon_learning_rate, weight_decay=config.muon_weight_decay
        )
    optimizers["adamw"] = torch.optim.AdamW(
        parameters, lr=config.learning_rate, betas=betas, weight_decay=config.weight_decay
    )
    return optimizers


def learning_rate_part(step: int, steps: int, config: CodecOptimConfig) -> float:
    """The factor on the learning rates at a step: linear warm-up, then a cosine."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(steps - config.warmup_steps, 1)
    return config.final_part + (1 - config.final_part) * 0.5 * (1 + math.cos(math.pi * done))


def set_learning_rates(
    optimizers: dict[str, torch.optim.Optimizer], config: CodecOptimConfig, part: float
) -> None:
    """Sets each optimiser's rate to a part of its peak."""
    peaks = {"muon": config.muon_learning_rate, "adamw": config.learning_rate}
    for name, optimizer in optimizers.items():
        for group in optimizer.param_groups:
            group["lr"] = part * peaks[name]
