"""Builds the language model from a checkpoint: fuses, converts and, where asked, quantises."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from musicgen_rt.model.checkpoint import Checkpoint
from musicgen_rt.model.config import LMConfig
from musicgen_rt.model.linear import WeightFormat, build_linear
from musicgen_rt.model.lm import LM, ConditionProjection, DecoderLayer
from musicgen_rt.model.quantised_cache import LinearSource

_DECODER = "decoder.model.decoder"
Progress = Callable[[int, int], None]


def load_lm(
    checkpoint: Checkpoint,
    weight_format: WeightFormat,
    device: torch.device,
    progress: Progress | None = None,
) -> LM:
    """Load the language model of an opened checkpoint onto `device`.

    `progress(done, total)` counts layers. Quantised formats are for CPUs (`choose_format` checks).
    Raises CheckpointError for a tensor that cannot be read.
    """
    config = checkpoint.config.lm
    with LinearSource.open(checkpoint, weight_format) as linears:
        layers = []
        for index in range(config.num_layers):
            layers.append(_layer(checkpoint, linears, index))
            if progress is not None:
                progress(index + 1, config.num_layers)
        head_rows = linears.get("heads", lambda: _stacked(checkpoint, _head_names(config)))
        heads = build_linear(head_rows)
    dtype = weight_format.compute_dtype
    lm = LM(
        config,
        _stacked(checkpoint, _embedding_names(config)).to(dtype),
        layers,
        _norm(checkpoint, f"{_DECODER}.layer_norm", config).to(dtype),
        heads,
        _conditioning(checkpoint, dtype, device),
    )
    return lm.to(device).eval()


def _layer(checkpoint: Checkpoint, linears: LinearSource, index: int) -> DecoderLayer:
    config = checkpoint.config.lm
    prefix = f"{_DECODER}.layers.{index}"
    modules = {
        name: build_linear(linears.get(f"layers.{index}.{name}", fused))
        for name, fused in _layer_matrices(checkpoint, prefix)
    }
    norms = {"self": "self_attn_layer_norm", "feed_forward": "final_layer_norm"}
    if "cross_query" in modules:
        norms["cross"] = "encoder_attn_layer_norm"
    built = {key: _norm(checkpoint, f"{prefix}.{name}", config) for key, name in norms.items()}
    return DecoderLayer(
        config, modules, nn.ModuleDict(built).to(linears.weight_format.compute_dtype)
    )


def _layer_matrices(
    checkpoint: Checkpoint, prefix: str
) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    """The matrices that a step multiplies by, named as in DecoderLayer."""

    def rows(*names: str) -> Callable[[], Tensor]:
        return lambda: _stacked(checkpoint, [f"{prefix}.{name}.weight" for name in names])

    yield "qkv", rows("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
    yield "self_out", rows("self_attn.out_proj")
    if checkpoint.config.kind == "text":
        yield "cross_query", rows("encoder_attn.q_proj")
        yield "cross_out", rows("encoder_attn.out_proj")
    yield "up", rows("fc1")
    yield "down", rows("fc2")


def _conditioning(
    checkpoint: Checkpoint, dtype: torch.dtype, device: torch.device
) -> ConditionProjection:
    config = checkpoint.config
    cross = []
    if config.kind == "text":
        for index in range(config.lm.num_layers):
            prefix = f"{_DECODER}.layers.{index}.encoder_attn"
            names = (f"{prefix}.k_proj.weight", f"{prefix}.v_proj.weight")
            # Copied: a file that is replaced while it is mapped would end the process.
            key, value = (checkpoint.tensor(name).to(device, dtype, copy=True) for name in names)
            cross.append((key, value))
    text = _projection(checkpoint, "enc_to_dec_proj", config.has_text_projection)
    chroma = None
    if config.kind == "melody":
        chroma = _projection(checkpoint, "audio_enc_to_dec_proj", config.has_chroma_projection)
    return ConditionProjection(config.lm, text, chroma, cross)


def _projection(checkpoint: Checkpoint, name: str, is_there: bool) -> nn.Module:
    """A float32 projection with bias; checkpoints leave it out where the widths are equal."""
    if not is_there:
        return nn.Identity()
    weight = checkpoint.tensor(f"{name}.weight").to(torch.float32, copy=True)
    linear = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    bias = checkpoint.tensor(f"{name}.bias").to(torch.float32, copy=True)
    linear.load_state_dict({"weight": weight, "bias": bias}, assign=True)
    return linear.requires_grad_(False)


def _norm(checkpoint: Checkpoint, name: str, config: LMConfig) -> nn.LayerNorm:
    norm = nn.LayerNorm(config.d_model, eps=config.layer_norm_eps)
    parts = {part: checkpoint.tensor(f"{name}.{part}").float() for part in ("weight", "bias")}
    norm.load_state_dict(parts)
    return norm.requires_grad_(False)


def _stacked(checkpoint: Checkpoint, names: list[str]) -> Tensor:
    """Rows of several matrices under each other, as one."""
    return torch.cat([checkpoint.tensor(name) for name in names])


def _embedding_names(config: LMConfig) -> list[str]:
    return [f"{_DECODER}.embed_tokens.{k}.weight" for k in range(config.num_codebooks)]


def _head_names(config: LMConfig) -> list[str]:
    return [f"decoder.lm_heads.{k}.weight" for k in range(config.num_codebooks)]
