"""The balancer on losses whose gradients are known."""

import numpy as np
import torch

from musicgen_rt.train.codec_balancer import GradientBalancer

WEIGHTS = {"loud": 0.5, "quiet": 2.0}


def linear(slope: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
    """A loss whose gradient is `slope`."""
    return (slope * output).sum()


def row_norm(slope: torch.Tensor) -> float:
    return float(np.linalg.norm(slope.numpy().reshape(len(slope), -1), axis=1).mean())


def test_each_loss_gets_its_part_of_the_reference() -> None:
    torch.manual_seed(0)
    output = torch.randn(3, 1, 50, requires_grad=True)
    reference, loud, quiet = (torch.randn(3, 1, 50) * size for size in (1.0, 1e4, 1e-4))
    balancer = GradientBalancer()
    losses = {"loud": linear(loud, output), "quiet": linear(quiet, output)}
    found = balancer.gradient(linear(reference, output), losses, WEIGHTS, output)
    level = row_norm(reference)
    expected = reference + 0.5 * level / row_norm(loud) * loud + 2 * level / row_norm(quiet) * quiet
    torch.testing.assert_close(found, expected)


def test_a_weight_of_zero_leaves_the_reference_alone() -> None:
    output = torch.ones(1, 1, 4, requires_grad=True)
    slope = torch.arange(4.0).reshape(1, 1, 4)
    nothing = {"hinge": linear(torch.full_like(slope, float("nan")), output)}
    found = GradientBalancer().gradient(linear(slope, output), nothing, {"hinge": 0.0}, output)
    assert torch.equal(found, slope)


def test_norms_are_running_means_so_a_rare_large_gradient_stays_large() -> None:
    output = torch.ones(1, 1, 1, requires_grad=True)
    balancer = GradientBalancer()
    sizes = [1.0, 1.0, 1.0, 10.0]
    for step, size in enumerate(sizes):
        losses = {"other": linear(torch.full((1, 1, 1), size), output)}
        one = linear(torch.ones(1, 1, 1), output)
        found = float(balancer.gradient(one, losses, {"other": 1.0}, output))
        ages = np.arange(step, -1, -1)
        mean = np.average(sizes[: step + 1], weights=0.99**ages)
        np.testing.assert_allclose(found, 1 + size / mean, rtol=1e-5)
