"""Which optimiser moves which weight, and how fast."""

from __future__ import annotations

import math

import torch
from torch import nn

from musicgen_rt.train.lm_config import LMOptimConfig
from musicgen_rt.train.muon import Muon

_TABLES = ("embed_tokens", "lm_heads", "shared", "relative_attention_bias", "conditioner", "heads")


def make_optimizers(model: nn.Module, config: LMOptimConfig) -> dict[str, torch.optim.Optimizer]:
    """Muon for the matrices inside layers when asked for, AdamW for all else that is trained.

    Only matrices decay. Embeddings, heads and conditioners are tables of vectors, which have no
    singular values worth making equal.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    inner = [p for name, p in named if p.ndim == 2 and not _is_table(name)]
    optimizers: dict[str, torch.optim.Optimizer] = {}
    chosen: set[int] = set()
    if config.optimizer == "muon" and inner:
        optimizers["muon"] = Muon(
            inner, lr=config.muon_learning_rate, weight_decay=config.weight_decay
        )
        chosen = {id(p) for p in inner}
    rest = [p for _, p in named if id(p) not in chosen]
    groups = [
        {"params": [p for p in rest if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
    ]
    if rest:
        optimizers["adamw"] = torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=config.learning_rate,
            betas=(config.beta1, config.beta2),
        )
    for optimizer in optimizers.values():
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizers


def learning_rate_part(step: int, steps: int, config: LMOptimConfig) -> float:
    """The factor on the learning rates at a step: linear warm-up, then a cosine."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(steps - config.warmup_steps, 1)
    return config.final_part + (1 - config.final_part) * 0.5 * (1 + math.cos(math.pi * done))


def _is_table(name: str) -> bool:
    return any(part in _TABLES for part in name.split("."))
