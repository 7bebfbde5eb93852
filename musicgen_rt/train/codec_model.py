"""The codec in training: the encodec package's SEANet and quantizer, run in channels-last.

The modules of the package hold the weights and define the structure; the forward pass here
computes the same values as theirs through two-dimensional convolutions of height 1 in
channels-last memory, which oneDNN runs several times faster on a CPU for the few channels
of the high-rate layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from encodec.modules.conv import SConv1d, SConvTranspose1d
from encodec.modules.seanet import SEANetDecoder, SEANetEncoder, SEANetResnetBlock
from torch import Tensor, nn
from torch.nn import functional

from musicgen_rt.errors import ParameterError
from musicgen_rt.train.codec_quantizer import CodecQuantizer
from musicgen_rt.train.config import require_range

# Zero padding is what a convolution does by itself: no padded copy of the signal is made.
PAD_MODE = "constant"


@dataclass(frozen=True)
class CodecShape:
    """The size of a codec: SEANet without LSTM, weights without normalisation in training."""

    sample_rate_hz: int = 32_000
    filters: int = 24
    ratios: tuple[int, ...] = (8, 5, 4, 4)
    latent_channels: int = 64
    codebooks: int = 4
    codebook_size: int = 1024
    kernel_samples: int = 7
    residual_kernel_samples: int = 3

    def __post_init__(self) -> None:
        require_range("filters", self.filters, 1, 512)
        require_range("latent_channels", self.latent_channels, 1, 1024)
        require_range("codebooks", self.codebooks, 1, 32)
        if not self.ratios or min(self.ratios) < 2:
            raise ParameterError(f"ratios is {self.ratios}; each must be 2 or more")
        if self.codebook_size < 2 or self.codebook_size & (self.codebook_size - 1):
            raise ParameterError(f"codebook_size is {self.codebook_size}; use a power of two")
        if self.sample_rate_hz % self.hop_samples:
            raise ParameterError(
                f"ratios {self.ratios} make a hop of {self.hop_samples} samples, which does not "
                f"divide {self.sample_rate_hz} Hz: the frame rate would not be whole"
            )

    @property
    def hop_samples(self) -> int:
        """Samples a codec frame spans."""
        hop = 1
        for ratio in self.ratios:
            hop *= ratio
        return hop

    @property
    def frame_rate_hz(self) -> int:
        """Codec frames a second."""
        return self.sample_rate_hz // self.hop_samples


class CodecModel(nn.Module):
    """Encoder, residual vector quantizer and decoder of one codec."""

    def __init__(self, shape: CodecShape, codebook_decay: float = 0.99) -> None:
        super().__init__()
        self.shape = shape
        self.encoder = SEANetEncoder(**_seanet_arguments(shape))
        self.decoder = SEANetDecoder(**_seanet_arguments(shape))
        self.quantizer = CodecQuantizer(
            shape.latent_channels, shape.codebooks, shape.codebook_size, codebook_decay
        )

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def latents(self, audio: Tensor) -> Tensor:
        """Encodes audio [B, 1, N], N a multiple of the hop, to latents [B, D, T]."""
        if audio.shape[-1] % self.shape.hop_samples:
            raise ParameterError(
                f"{audio.shape[-1]} samples are not a multiple of the hop "
                f"({self.shape.hop_samples}): pad or cut the audio"
            )
        return run_channels_last(self.encoder.model, audio)

    def synthesise(self, latents: Tensor) -> Tensor:
        """Decodes latents [B, D, T] to audio [B, 1, T · hop]."""
        return run_channels_last(self.decoder.model, latents)

    @torch.inference_mode()
    def encode(self, audio: Tensor) -> Tensor:
        """Codes [B, K, T] of audio [B, 1, N]."""
        return self.quantizer.encode(self.latents(audio).float())

    @torch.inference_mode()
    def decode(self, codes: Tensor) -> Tensor:
        """Audio [B, 1, T · hop] of codes [B, K, T]."""
        return self.synthesise(self.quantizer.decode(codes)).float()


def run_channels_last(module: nn.Module, signal: Tensor) -> Tensor:
    """Runs a SEANet of the encodec package on a signal [B, C, N] in channels-last memory.

    Only what `CodecShape` can ask for is covered: no LSTM, no causal padding, zero padding,
    dilation 1, identity shortcuts; the signal fills whole strides.
    """
    flat = signal[:, :, None].contiguous(memory_format=torch.channels_last)
    return _run(module, flat)[:, :, 0]


def _run(module: nn.Module, signal: Tensor) -> Tensor:
    if isinstance(module, nn.Sequential):
        for layer in module:
            signal = _run(layer, signal)
        return signal
    if isinstance(module, SEANetResnetBlock):
        return signal + _run(module.block, signal)
    if isinstance(module, SConv1d):
        return _convolve(cast(nn.Conv1d, module.conv.conv), signal)
    if isinstance(module, SConvTranspose1d):
        return _convolve_transposed(cast(nn.ConvTranspose1d, module.convtr.convtr), signal)
    if isinstance(module, nn.ELU):
        return functional.elu(signal)
    raise TypeError(f"no channels-last form of {type(module).__name__}")


def _convolve(conv: nn.Conv1d, signal: Tensor) -> Tensor:
    stride = conv.stride[0]
    # The package pads the left more when the total is odd. Padding both sides by the larger
    # half adds one zero on the right that no whole stride reaches.
    padding = (conv.kernel_size[0] - stride + 1) // 2
    return functional.conv2d(
        signal, conv.weight[:, :, None], conv.bias, stride=(1, stride), padding=(0, padding)
    )


def _convolve_transposed(conv: nn.ConvTranspose1d, signal: Tensor) -> Tensor:
    stride = conv.stride[0]
    trim = conv.kernel_size[0] - stride
    left = trim - trim // 2
    return functional.conv_transpose2d(
        signal,
        conv.weight[:, :, None],
        conv.bias,
        stride=(1, stride),
        padding=(0, left),
        output_padding=(0, left - trim // 2),
    )


def _seanet_arguments(shape: CodecShape) -> dict[str, Any]:
    return {
        "channels": 1,
        "dimension": shape.latent_channels,
        "n_filters": shape.filters,
        "n_residual_layers": 1,
        "ratios": list(shape.ratios),
        "kernel_size": shape.kernel_samples,
        "last_kernel_size": shape.kernel_samples,
        "residual_kernel_size": shape.residual_kernel_samples,
        "norm": "none",
        "causal": False,
        "pad_mode": PAD_MODE,
        "true_skip": True,
        "lstm": 0,
    }
