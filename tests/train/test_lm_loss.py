"""The loss, against a computation by hand."""

from __future__ import annotations

import math

import pytest
import torch

from musicgen_rt.train.lm_loss import codebook_losses, shifted, valid_targets

SPECIAL = 9


def test_inputs_and_targets_are_the_columns_of_the_delayed_sequence() -> None:
    codes = torch.arange(8).view(1, 2, 4)
    inputs, targets = shifted(codes, (0, 1), SPECIAL)
    assert inputs[0].tolist() == [[9, 0, 1, 2], [9, 9, 4, 5]]
    assert targets[0].tolist() == [[0, 1, 2, 3], [9, 4, 5, 6]]
    valid = valid_targets(4, (0, 1), torch.device("cpu"))
    assert valid.tolist() == [[True] * 4, [False, True, True, True]]


@pytest.mark.parametrize("delays", [(0, 1, 2, 3), (0, 0, 1, 1)])
def test_it_is_the_mean_over_valid_positions_of_each_codebook(delays: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    B, K, T, V = 2, 4, 7, 5
    codes = torch.randint(V, (B, K, T))
    logits = torch.randn(B, T, K, V)
    _, targets = shifted(codes, delays, V)
    losses = codebook_losses(logits, targets, valid_targets(T, delays, logits.device))
    for codebook, delay in enumerate(delays):
        surprises = []
        for row in range(B):
            for frame in range(T - delay):
                scores = logits[row, frame + delay, codebook].tolist()
                total = sum(math.exp(score) for score in scores)
                right = scores[int(codes[row, codebook, frame])]
                surprises.append(math.log(total) - right)
        assert losses[codebook].item() == pytest.approx(sum(surprises) / len(surprises), rel=1e-5)


def test_what_is_not_valid_has_no_gradient() -> None:
    logits = torch.randn(1, 5, 2, 3, requires_grad=True)
    _, targets = shifted(torch.zeros(1, 2, 5, dtype=torch.int64), (0, 2), 3)
    codebook_losses(logits, targets, valid_targets(5, (0, 2), logits.device)).sum().backward()
    assert logits.grad is not None
    used = logits.grad.abs().sum(-1)[0] > 0
    assert used[:, 0].all()
    assert used[:, 1].tolist() == [False, False, True, True, True]
