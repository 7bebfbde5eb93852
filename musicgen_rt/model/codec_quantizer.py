"""The residual vector quantizer of SoundStream (Zeghidour et al. 2021): codes and embeddings."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from musicgen_rt.errors import ParameterError


class ResidualQuantizer(nn.Module):
    """K codebooks [K, codes, D]; each quantizes what the ones before it left over."""

    codebooks: Tensor

    def __init__(self, num_codebooks: int, codebook_size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("codebooks", torch.zeros(num_codebooks, codebook_size, dim))

    def decode(self, codes: Tensor) -> Tensor:
        """Embeddings [T, B, D] of `codes` [B, k, T], k of the first codebooks."""
        self.check_count(codes.shape[1])
        total = functional.embedding(codes[:, 0].t(), self.codebooks[0])
        for level in range(1, codes.shape[1]):
            total = total + functional.embedding(codes[:, level].t(), self.codebooks[level])
        return total

    def encode(self, embeddings: Tensor, num_codebooks: int) -> Tensor:
        """Codes [B, num_codebooks, T] of `embeddings` [T, B, D]: each level's nearest entry."""
        self.check_count(num_codebooks)
        residual = embeddings
        levels = []
        for codebook in self.codebooks[:num_codebooks]:
            # The square of the distance, less the residual's own, which all entries share.
            scores = codebook.square().sum(dim=1) - 2 * (residual @ codebook.t())
            codes = scores.argmin(dim=-1)
            residual = residual - functional.embedding(codes, codebook)
            levels.append(codes.t())
        return torch.stack(levels, dim=1)

    def check_count(self, num_codebooks: int) -> None:
        """Raise ParameterError unless this quantizer has as many codebooks, and at least one."""
        if not 1 <= num_codebooks <= len(self.codebooks):
            raise ParameterError(
                f"{num_codebooks} codebooks, expected 1 to {len(self.codebooks)}: "
                "the codec has no more"
            )
