"""MusicGen's language model, to be trained: text checkpoints, new ones and published ones.

The sums are those of `model.lm` and of transformers' `MusicgenForConditionalGeneration`, under
whose names `checkpoint_tensors` gives the weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from musicgen_rt.errors import UnsupportedError
from musicgen_rt.model.config import LMConfig, ModelConfig
from musicgen_rt.model.lm import sinusoids
from musicgen_rt.model.text import PREFIX as TEXT_PREFIX
from musicgen_rt.model.text import TextEncoderLayout
from musicgen_rt.train.lm_conditions import FrameBatch, TrainableConditioner
from musicgen_rt.train.text_encoder import build_text_encoder

_DECODER = "decoder.model.decoder."
_START_STD = 0.02


class Attention(nn.Module):
    """Multi-head attention without biases."""

    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        D = config.d_model
        self.num_heads, self.head_dim = config.num_heads, config.head_dim
        self.q_proj = nn.Linear(D, D, bias=False)
        self.k_proj = nn.Linear(D, D, bias=False)
        self.v_proj = nn.Linear(D, D, bias=False)
        self.out_proj = nn.Linear(D, D, bias=False)

    def forward(
        self, x: Tensor, source: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """x [B, T, D] attends to itself causally, or to `source` [B, S, D] where `mask` is True.

        `mask` is bool [B, 1, 1, S].
        """
        B, T, D = x.shape
        read = x if source is None else source
        query, key, value = (
            linear(given).view(B, -1, self.num_heads, self.head_dim).transpose(1, 2)
            for linear, given in ((self.q_proj, x), (self.k_proj, read), (self.v_proj, read))
        )
        mixed = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, is_causal=source is None
        )
        return self.out_proj(mixed.transpose(1, 2).reshape(B, T, D))


class Layer(nn.Module):
    """Self-attention, cross-attention and feed-forward, pre-norm."""

    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        D, eps = config.d_model, config.layer_norm_eps
        self.self_attn = Attention(config)
        self.self_attn_layer_norm = nn.LayerNorm(D, eps=eps)
        self.encoder_attn = Attention(config)
        self.encoder_attn_layer_norm = nn.LayerNorm(D, eps=eps)
        self.fc1 = nn.Linear(D, config.ffn_dim, bias=False)
        self.fc2 = nn.Linear(config.ffn_dim, D, bias=False)
        self.final_layer_norm = nn.LayerNorm(D, eps=eps)

    def forward(self, x: Tensor, text: Tensor, mask: Tensor) -> Tensor:
        """x [B, T, D], text [B, S, D], mask bool [B, 1, 1, S] -> [B, T, D]."""
        x = x + self.self_attn(self.self_attn_layer_norm(x))
        x = x + self.encoder_attn(self.encoder_attn_layer_norm(x), text, mask)
        return x + self.fc2(functional.gelu(self.fc1(self.final_layer_norm(x))))


class Decoder(nn.Module):
    """The transformer over delayed codes with its heads; parameters have transformers' names."""

    position_table: Tensor

    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        self.config = config
        codebooks = range(config.num_codebooks)
        V, D = config.vocab_size, config.d_model
        # One row more than there are codes, for the special token.
        self.embed_tokens = nn.ModuleList(nn.Embedding(V + 1, D) for _ in codebooks)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_layers))
        self.layer_norm = nn.LayerNorm(D, eps=config.layer_norm_eps)
        self.lm_heads = nn.ModuleList(nn.Linear(D, V, bias=False) for _ in codebooks)
        table = sinusoids(config.max_positions, D)
        self.register_buffer("position_table", table, persistent=False)
        self._start()

    def forward(self, tokens: Tensor, text: Tensor, mask: Tensor, bias: Tensor | None) -> Tensor:
        """Delayed tokens [B, K, T] -> logits [B, T, K, V] of the next column.

        `text` [B, S, D] is projected, `mask` bool [B, S] says where it is text; a row of zeros has
        the null text. `bias` float32 [B, T, D] is the frame conditioners'.
        """
        embedded = [embed(tokens[:, index]) for index, embed in enumerate(self.embed_tokens)]
        x = torch.stack(embedded).sum(0)
        if bias is not None:
            x = x + bias
        x = x + self.position_table[: tokens.shape[2]]
        for layer in self.layers:
            x = layer(x, text, mask[:, None, None])
        x = self.layer_norm(x)
        return torch.stack([head(x) for head in self.lm_heads], dim=2)

    @torch.no_grad()
    def _start(self) -> None:
        """Small normal weights; what ends a branch is smaller the more branches add up."""
        last = _START_STD / math.sqrt(3 * self.config.num_layers)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                ends = name.endswith(("out_proj.weight", "fc2.weight"))
                nn.init.normal_(parameter, std=last if ends else _START_STD)


class TrainableLM(nn.Module):
    """Text encoder, decoder and frame conditioners of a text checkpoint."""

    def __init__(self, config: ModelConfig) -> None:
        """Random weights. Raises UnsupportedError for a melody checkpoint."""
        super().__init__()
        if config.kind != "text":
            raise UnsupportedError(
                "melody checkpoints cannot be trained here: their melody is a prefix; start with a "
                "text checkpoint and give it a chroma conditioner"
            )
        self.config = config
        self.text_encoder: Any = build_text_encoder(config.text_encoder_json)
        self.enc_to_dec_proj: nn.Module = nn.Identity()
        if config.has_text_projection:
            self.enc_to_dec_proj = nn.Linear(config.text_d_model, config.lm.d_model)
        self.decoder = Decoder(config.lm)
        self.conditioner: TrainableConditioner | None = None
        if config.frame_conditioning is not None:
            self.conditioner = TrainableConditioner(config.frame_conditioning, config.lm.d_model)

    def encode_text(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Tokens [B, S] with their bool mask -> hidden states [B, S, d_text]; float32, as live."""
        with torch.autocast(ids.device.type, enabled=False):
            return self.text_encoder(input_ids=ids, attention_mask=mask.long()).last_hidden_state

    def forward(
        self, tokens: Tensor, text: Tensor, mask: Tensor, frames: FrameBatch | None
    ) -> Tensor:
        """Delayed tokens [B, K, T] -> logits [B, T, K, V].

        `text` [B, S, d_text] are hidden states; a row whose `mask` [B, S] is False throughout has
        the null text. `frames` must be given if there is a conditioner.
        """
        states = self.enc_to_dec_proj(text) * mask[..., None]
        # Attention over nothing is not a number; over zeros it is the null.
        readable = mask | ~mask.any(1, keepdim=True)
        bias = None
        if self.conditioner is not None:
            assert frames is not None
            with torch.autocast(tokens.device.type, enabled=False):
                bias = self.conditioner(frames)
        return self.decoder(tokens, states, readable, bias)

    def checkpoint_tensors(self) -> dict[str, Tensor]:
        """All weights but the conditioners', under the names of a transformers checkpoint."""
        ties = TextEncoderLayout.from_json(self.config.text_encoder_json).ties
        repeated = {TEXT_PREFIX + name for names in ties for name in names[1:]}
        named: dict[str, Tensor] = {}
        for name, tensor in self.state_dict().items():
            stored = _stored_name(name)
            if stored is not None and stored not in repeated:
                named[stored] = tensor
        return named

    @torch.no_grad()
    def load_checkpoint_tensors(self, get_tensor: Callable[[str], Tensor]) -> None:
        """The inverse; `get_tensor` is that of an opened checkpoint, and raises what it raises."""
        for name, tensor in self.state_dict().items():
            stored = _stored_name(name)
            if stored is not None:
                tensor.copy_(get_tensor(stored))


def _stored_name(name: str) -> str | None:
    """The checkpoint's name of a parameter, None for those that are not in its main file."""
    if name.startswith("conditioner."):
        return None
    inner = name.removeprefix("decoder.")
    if inner == name:
        return name
    return f"decoder.{inner}" if inner.startswith("lm_heads.") else _DECODER + inner
