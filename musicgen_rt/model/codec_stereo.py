"""Stereo MusicGen's codes: a mono codec runs once a channel, and its codes are interleaved.

Codebook order is 1L 1R 2L 2R ... (Copet et al. 2023, MusicGen, appendix on stereo).
"""

from __future__ import annotations

import torch
from torch import Tensor

from musicgen_rt.errors import ParameterError


def deinterleave(codes: Tensor, channels: int) -> Tensor:
    """Codes [B, C * K, T] of C interleaved channels to a batch of mono codes [B * C, K, T].

    Raises ParameterError if the codebooks do not divide among the channels.
    """
    batch, total, frames = codes.shape
    if total % channels:
        raise ParameterError(
            f"{total} codebooks for {channels} channels, expected a multiple of {channels}"
        )
    return (
        codes.view(batch, total // channels, channels, frames)
        .transpose(1, 2)
        .reshape(batch * channels, total // channels, frames)
    )


def interleave(codes: Tensor, channels: int) -> Tensor:
    """A batch of mono codes [B * C, K, T] to codes [B, C * K, T]: `deinterleave` undone.

    Raises ParameterError if the batch does not divide into channels.
    """
    rows, codebooks, frames = codes.shape
    if rows % channels:
        raise ParameterError(f"{rows} rows for {channels} channels, expected a multiple")
    return (
        codes.view(rows // channels, channels, codebooks, frames)
        .transpose(1, 2)
        .reshape(rows // channels, channels * codebooks, frames)
    )


def join_channels(samples: Tensor, channels: int) -> Tensor:
    """Mono samples [B * C, 1, N] of `channels` channels to [B, C, N]."""
    return torch.unflatten(samples[:, 0], 0, (-1, channels))
