"""Writes a trained codec as a transformers `EncodecModel` folder.

    python -m musicgen_rt.train.codec_export --run RUN --out FOLDER [--float16] [--no-lstm]

transformers always builds an LSTM and refuses one of zero layers. The codec has none, so by
default the export carries one layer of zeros: its output is exactly zero and the skip around
it passes the signal on. `--no-lstm` leaves it out (`num_lstm_layers` 0, later layers one
number lower): a third smaller, for musicgen-rt only.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import EncodecConfig

from musicgen_rt.train.codec_model import PAD_MODE, CodecModel, CodecShape
from musicgen_rt.train.codec_saved import load_codec
from musicgen_rt.train.whole_file import make_folder, whole_file, write_atomically

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
_GATES = 4


def export_codec(
    model: CodecModel,
    folder: Path,
    dtype: torch.dtype = torch.float32,
    identity_lstm: bool = True,
) -> None:
    """Writes `config.json` and `model.safetensors`; each file appears whole or not at all.

    Raises CheckpointError when they cannot be written.
    """
    make_folder(folder)
    tensors = codec_tensors(model, identity_lstm)
    stored = {name: tensor.to(dtype).contiguous() for name, tensor in tensors.items()}
    with whole_file(folder / WEIGHTS_FILE) as part:
        save_file(stored, part, metadata={"format": "pt"})
    table = codec_config_table(model.shape, dtype, identity_lstm)
    write_atomically(folder / CONFIG_FILE, json.dumps(table, indent=2, sort_keys=True) + "\n")


def codec_config_table(
    shape: CodecShape, dtype: torch.dtype, identity_lstm: bool = True
) -> dict[str, object]:
    """The `config.json` of a codec, every field that shapes the model written out."""
    bits = int(math.log2(shape.codebook_size))
    config = EncodecConfig(
        target_bandwidths=[shape.codebooks * bits * shape.frame_rate_hz / 1000],
        sampling_rate=shape.sample_rate_hz,
        audio_channels=1,
        normalize=False,
        chunk_length_s=None,
        overlap=None,
        hidden_size=shape.latent_channels,
        num_filters=shape.filters,
        num_residual_layers=1,
        upsampling_ratios=list(shape.ratios),
        norm_type="weight_norm",
        kernel_size=shape.kernel_samples,
        last_kernel_size=shape.kernel_samples,
        residual_kernel_size=shape.residual_kernel_samples,
        use_causal_conv=False,
        pad_mode=PAD_MODE,
        num_lstm_layers=1 if identity_lstm else 0,
        codebook_size=shape.codebook_size,
        codebook_dim=shape.latent_channels,
        use_conv_shortcut=False,
    )
    table: dict[str, object] = config.to_dict()
    table["architectures"] = ["EncodecModel"]
    table["dtype"] = str(dtype).removeprefix("torch.")
    return table


def codec_tensors(model: CodecModel, identity_lstm: bool = True) -> dict[str, Tensor]:
    """All tensors under transformers' names."""
    tensors: dict[str, Tensor] = {}
    # The LSTM sits before the encoder's last activation and after the decoder's first layer.
    halves = (("encoder", model.encoder.model, -2), ("decoder", model.decoder.model, 1))
    for half, layers, lstm_place in halves:
        named: list[nn.Module | None] = list(layers)
        if identity_lstm:
            named.insert(len(named) + lstm_place if lstm_place < 0 else lstm_place, None)
            channels = model.shape.filters * 2 ** len(model.shape.ratios)
            place = named.index(None)
            tensors |= dict(_zero_lstm(f"{half}.layers.{place}.lstm", channels))
        for index, layer in enumerate(named):
            if layer is not None:
                tensors |= dict(_convolutions(f"{half}.layers.{index}", layer))
    for index, codebook in enumerate(model.quantizer.codebooks()):
        for name in ("inited", "cluster_size", "embed", "embed_avg"):
            tensors[f"quantizer.layers.{index}.codebook.{name}"] = getattr(codebook, name)
    return {name: tensor.detach() for name, tensor in tensors.items()}


def _convolutions(prefix: str, module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The convolutions in a layer of the encodec package, as weight-normed ones."""
    for name, part in module.named_modules():
        if not isinstance(part, nn.Conv1d | nn.ConvTranspose1d):
            continue
        # The package nests conv.conv or convtr.convtr where transformers has one conv.
        inner = name.removesuffix("conv.conv").removesuffix("convtr.convtr")
        start = f"{prefix}.{inner}conv"
        norm = part.weight.norm(dim=(1, 2), keepdim=True)
        direction = torch.where(norm > 0, part.weight, torch.ones_like(part.weight))
        yield f"{start}.parametrizations.weight.original0", norm
        yield f"{start}.parametrizations.weight.original1", direction
        assert part.bias is not None  # the package always makes one
        yield f"{start}.bias", part.bias


def _zero_lstm(prefix: str, channels: int) -> Iterator[tuple[str, Tensor]]:
    """An LSTM layer whose output is zero whatever it hears: its cell never opens."""
    for side in ("ih", "hh"):
        yield f"{prefix}.weight_{side}_l0", torch.zeros(_GATES * channels, channels)
        yield f"{prefix}.bias_{side}_l0", torch.zeros(_GATES * channels)


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Export a codec run for transformers.")
    parser.add_argument("--run", type=Path, required=True, help="run folder of the training")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--float16", action="store_true", help="store weights in half precision")
    parser.add_argument("--no-lstm", action="store_true", help="leave the LSTM of zeros out")
    options = parser.parse_args(arguments)
    saved = load_codec(options.run)
    dtype = torch.float16 if options.float16 else torch.float32
    export_codec(saved.model(), options.out, dtype, not options.no_lstm)
    print(f"wrote {options.out} from step {saved.state.values['step']} of {saved.steps}")


if __name__ == "__main__":
    main()
