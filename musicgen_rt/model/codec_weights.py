"""Names and shapes of a codec's weights, and loading them: transformers and encodec package.

Weight norm is folded into plain weights at load, which are laid out for `codec_kernels`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from musicgen_rt.errors import CheckpointError
from musicgen_rt.model.codec_config import WEIGHT_NORM, CodecConfig
from musicgen_rt.model.codec_layers import Conv, Layer, Lstm, Residual, Upsample
from musicgen_rt.model.codec_plan import LayerSpec, LstmSpec, ResidualSpec, UpsampleSpec

Shape = tuple[int, ...]
GetTensor = Callable[[str], Tensor]

_LENGTH = "parametrizations.weight.original0"
_DIRECTION = "parametrizations.weight.original1"
# torch's spelling of weight norm up to 2022, in which the official checkpoints were saved.
_OLD_SPELLING = {_LENGTH: "weight_g", _DIRECTION: "weight_v"}


def expected_shapes(config: CodecConfig | Mapping[str, Any]) -> dict[str, Shape]:
    """Name and shape of each tensor that a codec is loaded from, as transformers names them.

    Takes a `CodecConfig` or its JSON. Weight norm is in torch's present spelling,
    `parametrizations.weight.original0`; `Codec.from_tensors` also reads `weight_g` and `weight_v`.
    """
    if not isinstance(config, CodecConfig):
        config = CodecConfig.from_json(config)
    shapes: dict[str, Shape] = {}
    for spec in (*config.encoder_plan, *config.decoder_plan):
        shapes.update(_layer_shapes(spec, config.norm_type))
    for level in range(config.num_codebooks):
        shapes[codebook_name(level)] = (config.codebook_size, config.hidden_size)
    return shapes


def codebook_name(level: int) -> str:
    """The name of a codebook's tensor."""
    return f"quantizer.layers.{level}.codebook.embed"


def _layer_shapes(spec: LayerSpec, norm_type: str) -> Iterator[tuple[str, Shape]]:
    if isinstance(spec, LstmSpec):
        gates = 4 * spec.channels
        for layer in range(spec.num_layers):
            for side in ("ih", "hh"):
                yield f"{spec.name}.lstm.weight_{side}_l{layer}", (gates, spec.channels)
                yield f"{spec.name}.lstm.bias_{side}_l{layer}", (gates,)
    elif isinstance(spec, ResidualSpec):
        for part in (spec.dilated, spec.mix, spec.shortcut):
            if part is not None:
                yield from _layer_shapes(part, norm_type)
    elif isinstance(spec, UpsampleSpec):
        weight = (spec.in_channels, spec.out_channels, spec.kernel)
        yield from _conv_shapes(spec.name, weight, spec.out_channels, norm_type)
    else:
        weight = (spec.out_channels, spec.in_channels, spec.kernel)
        yield from _conv_shapes(spec.name, weight, spec.out_channels, norm_type)


def _conv_shapes(
    name: str, weight: Shape, out_channels: int, norm_type: str
) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.conv.bias", (out_channels,)
    if norm_type == WEIGHT_NORM:
        yield f"{name}.conv.{_LENGTH}", (weight[0], 1, 1)
        yield f"{name}.conv.{_DIRECTION}", weight
    else:
        yield f"{name}.conv.weight", weight
        yield f"{name}.norm.weight", (out_channels,)
        yield f"{name}.norm.bias", (out_channels,)


class WeightReader:
    """Reads checked tensors by name; `get_tensor` raises KeyError or CheckpointError if absent."""

    def __init__(self, config: CodecConfig, get_tensor: GetTensor) -> None:
        self._get_tensor = get_tensor
        self._shapes = expected_shapes(config)
        self._has_weight_norm = config.norm_type == WEIGHT_NORM

    def read(self, name: str) -> Tensor:
        """The fp32 tensor of this name. Raises CheckpointError if it is absent or misshapen."""
        tensor = self._find(name)
        shape = self._shapes[name]
        if tuple(tensor.shape) != shape:
            raise CheckpointError(
                f"codec tensor {name} has shape {list(tensor.shape)}, expected {list(shape)}: "
                "the weights do not fit the codec's config"
            )
        return tensor.detach().to(torch.float32)

    def _find(self, name: str) -> Tensor:
        old_name = name
        for new, old in _OLD_SPELLING.items():
            old_name = old_name.replace(new, old)
        try:
            return self._get_tensor(name)
        except (KeyError, CheckpointError) as error:
            if old_name == name:
                raise _missing(name, self._shapes[name]) from error
        try:
            return self._get_tensor(old_name)
        except (KeyError, CheckpointError) as error:
            raise _missing(f"{name} (or {old_name})", self._shapes[name]) from error

    def conv_weight(self, name: str) -> Tensor:
        """The weight of a convolution, weight norm folded (Salimans & Kingma 2016)."""
        if not self._has_weight_norm:
            return self.read(f"{name}.conv.weight")
        direction = self.read(f"{name}.conv.{_DIRECTION}")
        # A direction of zeros would divide 0 by 0; its weight is zero.
        norm = direction.norm(dim=(1, 2), keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
        return direction * (self.read(f"{name}.conv.{_LENGTH}") / norm)


def _missing(name: str, shape: Shape) -> CheckpointError:
    return CheckpointError(
        f"codec tensor {name} is missing, expected {list(shape)}: is the checkpoint complete?"
    )


@torch.no_grad()
def load_layer(layer: Layer, reader: WeightReader) -> None:
    """Fill a layer with its tensors. Raises CheckpointError."""
    if isinstance(layer, Lstm):
        for name, parameter in layer.lstm.named_parameters():
            parameter.copy_(reader.read(f"{layer.spec.name}.lstm.{name}"))
    elif isinstance(layer, Residual):
        for part in (layer.dilated, layer.mix, layer.shortcut):
            if part is not None:
                load_layer(part, reader)
    else:
        weight = reader.conv_weight(layer.spec.name)
        bias = reader.read(f"{layer.spec.name}.conv.bias")
        _load_weight(layer, weight, bias)
        if not isinstance(layer.norm, nn.Identity):
            for name, parameter in layer.norm.named_parameters():
                parameter.copy_(reader.read(f"{layer.spec.name}.norm.{name}"))


def _load_weight(layer: Conv | Upsample, weight: Tensor, bias: Tensor) -> None:
    if isinstance(layer, Conv):
        layer.weight.copy_(weight.permute(2, 1, 0))
        layer.bias.copy_(bias)
        return
    spec = layer.spec
    # [C_in, C_out, 2 * stride]: taps at a row's own time, then those one row later.
    own, later = weight.transpose(1, 2).flatten(1).chunk(2, dim=1)
    layer.weight.copy_(torch.stack((later, own)))
    layer.bias.copy_(bias.repeat(spec.stride))


# Names of the encodec package that differ, to those of transformers; applied in this order.
_PACKAGE_NAMES = (
    (r"^(encoder|decoder)\.model\.", r"\1.layers."),
    (r"\.conv(tr)?\.conv(tr)?\.", ".conv."),
    (r"\.conv(tr)?\.norm\.", ".norm."),
    (r"^quantizer\.vq\.layers\.(\d+)\._codebook\.", r"quantizer.layers.\1.codebook."),
)


def names_from_package(name: str) -> str:
    """The transformers name of a tensor in an encodec package's state dict."""
    for pattern, replacement in _PACKAGE_NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def config_from_package(model: Any) -> CodecConfig:
    """The configuration of an `encodec.model.EncodecModel`, read off its modules.

    Raises CheckpointError for a model that this codec cannot run.
    """
    first, last = model.decoder.model[0], model.decoder.model[-1]
    if not hasattr(last, "conv"):
        raise CheckpointError(
            f"the decoder ends in {type(last).__name__}, expected a convolution: "
            "codecs with a final activation are not supported"
        )
    modules = [m for m in model.decoder.model if hasattr(m, "convtr")]
    upsample = modules[0].convtr.convtr
    lstms = [m.lstm.num_layers for m in model.decoder.model if hasattr(m, "lstm")]
    is_segmented = model.segment is not None
    values = {
        "target_bandwidths": [float(b) for b in model.target_bandwidths],
        "sampling_rate": model.sample_rate,
        "audio_channels": model.channels,
        "normalize": model.normalize,
        "chunk_length_s": model.segment,
        "overlap": model.overlap if is_segmented else None,
        "hidden_size": model.decoder.dimension,
        "num_filters": model.decoder.n_filters,
        "num_residual_layers": model.decoder.n_residual_layers,
        "upsampling_ratios": list(model.decoder.ratios),
        "norm_type": first.conv.norm_type,
        "kernel_size": first.conv.conv.kernel_size[0],
        "last_kernel_size": last.conv.conv.kernel_size[0],
        "use_causal_conv": first.causal,
        "pad_mode": first.pad_mode,
        "num_lstm_layers": lstms[0] if lstms else 0,
        "trim_right_ratio": float(modules[0].trim_right_ratio),
        "codebook_size": model.quantizer.bins,
        **_residual_from_package(model, upsample.out_channels),
    }
    config = CodecConfig.from_json(values)
    if config.num_codebooks != model.quantizer.n_q:
        raise CheckpointError(
            f"the quantizer has {model.quantizer.n_q} codebooks, expected {config.num_codebooks}, "
            f"which target_bandwidths {list(config.target_bandwidths)} pay for"
        )
    return config


def _residual_from_package(model: Any, channels: int) -> dict[str, Any]:
    """The fields of the config that only residual blocks show; defaults if there are none."""
    blocks = [m for m in model.decoder.model if hasattr(m, "block")]
    if not blocks:
        return {}
    dilated = blocks[0].block[1].conv.conv
    second = blocks[1].block[1].conv.conv if model.decoder.n_residual_layers > 1 else None
    return {
        "residual_kernel_size": dilated.kernel_size[0],
        "dilation_growth_rate": second.dilation[0] if second is not None else 1,
        "compress": channels // dilated.out_channels,
        "use_conv_shortcut": not isinstance(blocks[0].shortcut, nn.Identity),
    }
