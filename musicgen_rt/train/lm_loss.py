"""The language model's loss: cross entropy of each codebook over valid delay-pattern positions.

Source: Copet et al. 2023, "Simple and Controllable Music Generation", section 2; the delay pattern
is `model.delay_pattern`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from musicgen_rt.model.delay_pattern import delayed_window, valid_mask


def shifted(codes: Tensor, delays: Sequence[int], special: int) -> tuple[Tensor, Tensor]:
    """Codes [B, K, T] -> the decoder's input and its targets, both [B, K, T].

    Input position p holds the delayed column p and predicts column p + 1, whose first codebook is
    that of frame p. As in a live window the sequence is not closed: no special token follows.
    """
    delayed = delayed_window(codes, delays, special)  # [B, K, 1 + T]
    return delayed[..., :-1], delayed[..., 1:]


def valid_targets(frames: int, delays: Sequence[int], device: torch.device) -> Tensor:
    """Which targets are codes and not special tokens: bool [K, T]."""
    return valid_mask(frames, delays, device=device)[:, 1 : 1 + frames]


def codebook_losses(logits: Tensor, targets: Tensor, valid: Tensor) -> Tensor:
    """Mean cross entropy of each codebook in nats, float32 [K].

    `logits` [B, T, K, V], `targets` [B, K, T], `valid` [K, T]. The model's loss is their mean.
    """
    B, T, K, _ = logits.shape
    wanted = torch.where(valid, targets, 0).transpose(1, 2)  # [B, T, K]
    # As rows: with the classes in another dimension it takes four times as long.
    rows = functional.cross_entropy(
        logits.float().flatten(0, 2), wanted.flatten(), reduction="none"
    )
    entropy = rows.view(B, T, K) * valid.T
    return entropy.sum((0, 1)) / (B * valid.sum(1))
