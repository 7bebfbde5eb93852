"""Residual vector quantization in training, on the encodec package's codebooks.

The package keeps the codebooks as moving averages of the vectors assigned to them. Two
things are done here instead of there, because in the package they have no effect: codes that
fell out of use are replaced (the package overwrites its replacement in the same step), and
every stage's commitment reaches the encoder (the package's residual carries no gradient).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, cast

import torch
from encodec.quantization.vq import ResidualVectorQuantizer
from torch import Tensor, nn
from torch.nn import functional

# A code is dead when its share of recent vectors is below this part of an equal share.
_DEAD_SHARE = 0.1
_KMEANS_ROUNDS = 12


@dataclass(frozen=True)
class Quantized:
    """What the quantizer returns in training.

    `latents` [B, D, T] pass gradients straight through, `codes` are [B, K, T], `commitment`
    is the mean over stages of the squared error relative to the latents' variance.
    """

    latents: Tensor
    codes: Tensor
    commitment: Tensor


class Codebook(Protocol):
    """The package's codebook: vectors `embed` [size, D], and the moving averages they are."""

    codebook_size: int
    embed: Tensor
    embed_avg: Tensor
    cluster_size: Tensor

    def __call__(self, vectors: Tensor) -> tuple[Tensor, Tensor]: ...

    def encode(self, vectors: Tensor) -> Tensor: ...

    def decode(self, codes: Tensor) -> Tensor: ...


class CodecQuantizer(nn.Module):
    """K residual stages of one codebook each."""

    def __init__(
        self, channels: int, codebooks: int, codebook_size: int, decay: float = 0.99
    ) -> None:
        super().__init__()
        self.stages = ResidualVectorQuantizer(
            dimension=channels,
            n_q=codebooks,
            bins=codebook_size,
            decay=decay,
            kmeans_init=False,
            threshold_ema_dead_code=0,
        )

    def codebooks(self) -> list[Codebook]:
        """The codebooks, coarsest first."""
        return [cast(Codebook, stage._codebook) for stage in self.stages.vq.layers]

    def forward(self, latents: Tensor) -> Quantized:
        """Quantizes latents [B, D, T]; in training mode the codebooks follow them."""
        residual = latents.transpose(1, 2)  # [B, T, D]
        power = residual.detach().var() + 1e-8
        total = torch.zeros_like(residual)
        commitment = residual.new_zeros(())
        codes = []
        for codebook in self.codebooks():
            chosen, stage_codes = codebook(residual.detach())
            commitment = commitment + functional.mse_loss(residual, chosen) / power
            total = total + chosen
            residual = residual - chosen
            codes.append(stage_codes)
        target = latents.transpose(1, 2)
        through = target + (total - target).detach()
        return Quantized(
            through.transpose(1, 2), torch.stack(codes, dim=1), commitment / len(codes)
        )

    def encode(self, latents: Tensor) -> Tensor:
        """Codes [B, K, T] of latents [B, D, T]."""
        codes: Tensor = self.stages.vq.encode(latents)  # [K, B, T]
        return codes.transpose(0, 1)

    def decode(self, codes: Tensor) -> Tensor:
        """Latents [B, D, T] of codes [B, K, T]."""
        latents: Tensor = self.stages.vq.decode(codes.transpose(0, 1))
        return latents

    @torch.no_grad()
    def start_from(self, latents: Tensor) -> None:
        """Sets every codebook to the k-means of its residuals over latents [B, D, T]."""
        residual = latents.transpose(1, 2).reshape(-1, latents.shape[1])
        for codebook in self.codebooks():
            centres, counts = kmeans(residual, codebook.codebook_size, _KMEANS_ROUNDS)
            weight = counts.clamp(min=1.0) / counts.sum() * codebook.codebook_size
            _set_codes(codebook, centres, weight)
            residual = residual - codebook.decode(codebook.encode(residual))

    @torch.no_grad()
    def replace_dead_codes(self, latents: Tensor) -> int:
        """Moves unused codes onto residuals drawn from latents [B, D, T]; returns how many."""
        residual = latents.transpose(1, 2).reshape(-1, latents.shape[1])
        replaced = 0
        for codebook in self.codebooks():
            mean_weight = codebook.cluster_size.mean()
            dead = codebook.cluster_size < _DEAD_SHARE * mean_weight
            count = int(dead.sum())
            drawn = torch.randint(residual.shape[0], (count,))
            stage_residual = residual - codebook.decode(codebook.encode(residual))
            codes, weight = codebook.embed.clone(), codebook.cluster_size.clone()
            codes[dead], weight[dead] = residual[drawn], 0.5 * mean_weight
            sums = codebook.embed_avg.clone()
            sums[dead] = codes[dead] * weight[dead, None]
            _set_codes(codebook, codes, weight, sums)
            residual, replaced = stage_residual, replaced + count
        return replaced


def kmeans(vectors: Tensor, clusters: int, rounds: int) -> tuple[Tensor, Tensor]:
    """Lloyd's algorithm over vectors [N, D]: centres [clusters, D] and counts [clusters].

    A cluster that lost all its vectors is moved onto a random one.
    """
    centres = vectors[torch.randint(vectors.shape[0], (clusters,))]
    if vectors.shape[0] >= clusters:
        centres = vectors[torch.randperm(vectors.shape[0])[:clusters]]
    counts = vectors.new_zeros(clusters)
    for _ in range(rounds):
        nearest = torch.cdist(vectors, centres).argmin(dim=1)
        counts = torch.bincount(nearest, minlength=clusters).to(vectors.dtype)
        sums = torch.zeros_like(centres).index_add_(0, nearest, vectors)
        strays = vectors[torch.randint(vectors.shape[0], (clusters,))]
        means = sums / counts.clamp(min=1.0)[:, None]
        centres = torch.where(counts[:, None] > 0, means, strays)
    return centres, counts


def perplexities(codes: Tensor, codebook_size: int) -> list[float]:
    """The perplexity of each codebook's use over codes [B, K, T]; codebook_size when even."""
    result = []
    for stage_codes in codes.transpose(0, 1):
        share = torch.bincount(stage_codes.flatten(), minlength=codebook_size).double()
        share = share / share.sum()
        entropy = -(share * share.clamp(min=1e-12).log()).sum()
        result.append(float(entropy.exp()))
    return result


def _set_codes(
    codebook: Codebook, codes: Tensor, weight: Tensor, sums: Tensor | None = None
) -> None:
    codebook.embed.copy_(codes)
    codebook.cluster_size.copy_(weight)
    codebook.embed_avg.copy_(codes * weight[:, None] if sums is None else sums)
