"""Starting, using and reviving the codebooks."""

import numpy as np
import torch
from scipy.cluster.vq import vq
from scipy.stats import entropy

from musicgen_rt.train.codec_quantizer import CodecQuantizer, kmeans, perplexities


def test_kmeans_finds_separate_clusters() -> None:
    torch.manual_seed(0)
    true_centres = torch.randn(4, 3) * 10
    vectors = true_centres.repeat_interleave(50, dim=0) + 0.01 * torch.randn(200, 3)
    centres, counts = kmeans(vectors, 16, rounds=10)
    _, distances = vq(vectors.numpy(), centres.numpy())
    assert distances.max() < 0.2
    assert counts.sum() == 200


def test_a_kmeans_start_quantizes_better_each_stage() -> None:
    torch.manual_seed(1)
    latents = torch.randn(4, 6, 200)
    quantizer = CodecQuantizer(channels=6, codebooks=3, codebook_size=32)
    quantizer.start_from(latents)
    codes = quantizer.encode(latents)
    partial = [
        torch.stack(
            [
                torch.nn.functional.embedding(codes[:, stage], quantizer.codebooks()[stage].embed)
                for stage in range(used)
            ]
        ).sum(0)
        for used in (1, 2, 3)
    ]
    errors = [float((latents.transpose(1, 2) - part).square().mean()) for part in partial]
    assert errors[0] < 0.6
    assert errors[0] > 1.5 * errors[1] > 1.5 * 1.5 * errors[2]
    torch.testing.assert_close(quantizer.decode(codes), partial[-1].transpose(1, 2))


def test_gradients_pass_straight_through_and_from_every_stage() -> None:
    torch.manual_seed(2)
    quantizer = CodecQuantizer(channels=4, codebooks=2, codebook_size=8)
    latents = torch.randn(1, 4, 40, requires_grad=True)
    quantizer.start_from(latents.detach())
    quantizer.eval()
    result = quantizer(latents)
    (through,) = torch.autograd.grad(result.latents.sum(), latents, retain_graph=True)
    assert torch.equal(through, torch.ones_like(through))
    (pull,) = torch.autograd.grad(result.commitment, latents)
    # Stage k pulls the latents towards the sum of the first k codes.
    target, total, expected = latents.detach(), torch.zeros(1, 4, 40), torch.zeros(1, 4, 40)
    for stage, codebook in enumerate(quantizer.codebooks()):
        total = total + codebook.embed[result.codes[:, stage]].transpose(1, 2)
        expected = expected + 2 * (target - total) / target.numel()
    torch.testing.assert_close(pull, expected / (2 * target.var()), atol=1e-6, rtol=1e-3)


def test_dead_codes_come_back_into_use() -> None:
    torch.manual_seed(3)
    latents = torch.randn(2, 4, 300)
    quantizer = CodecQuantizer(channels=4, codebooks=1, codebook_size=16)
    quantizer.start_from(latents)
    codebook = quantizer.codebooks()[0]
    codebook.embed[:8] = 100.0
    codebook.embed_avg[:8] = 0.0
    codebook.cluster_size[:8] = 0.0
    assert quantizer.encode(latents).unique().min() >= 8
    assert quantizer.replace_dead_codes(latents) == 8
    quantizer.train()
    for _ in range(5):
        quantizer(latents)
    assert len(quantizer.encode(latents).unique()) == 16
    assert quantizer.replace_dead_codes(latents) == 0


def test_perplexity_is_the_exponential_of_the_entropy() -> None:
    codes = torch.from_numpy(np.random.default_rng(0).integers(0, 9, size=(2, 3, 50)))
    for stage, value in enumerate(perplexities(codes, 16)):
        counts = np.bincount(codes[:, stage].flatten().numpy(), minlength=16)
        np.testing.assert_allclose(value, np.exp(entropy(counts)), rtol=1e-6)
