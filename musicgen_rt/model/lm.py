"""MusicGen's language model: a pre-norm transformer decoder over K delayed codebooks.

Prefill (many positions, no logits) and step (one position) are apart, and streaming state is an
argument. All rows of a batch share their tokens and differ in their conditions. Architecture:
Copet et al., "Simple and Controllable Music Generation", 2023, section 3; weights and names are
those of transformers' `MusicgenForCausalLM` and `MusicgenMelodyForCausalLM`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicgen_rt.model.config import LMConfig
from musicgen_rt.model.kv_cache import CrossCache, KVCache, TextKV

_POSITION_BASE = 10_000.0


class Attention(nn.Module):
    """Multi-head attention of new positions over a cache, without biases."""

    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.head_dim = config.head_dim
        self.scale = config.head_dim**-0.5

    def forward(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """query [B, S, D], keys and values [B, H, N, hd], mask [.., S or 1, N] -> [B, S, D]."""
        B, S, D = query.shape
        heads = query.view(B, S, self.num_heads, self.head_dim).transpose(1, 2)
        mixed = F.scaled_dot_product_attention(
            heads, keys, values, attn_mask=mask.to(heads.dtype), scale=self.scale
        )
        return mixed.transpose(1, 2).reshape(B, S, D)


class DecoderLayer(nn.Module):
    """Self-attention, cross-attention (text checkpoints only) and feed-forward, pre-norm."""

    def __init__(
        self, config: LMConfig, linears: dict[str, nn.Module], norms: nn.ModuleDict
    ) -> None:
        super().__init__()
        self.num_heads, self.head_dim = config.num_heads, config.head_dim
        self.linears = nn.ModuleDict(linears)
        self.norms = norms
        self.attend = Attention(config)
        self.has_cross_attention = "cross_query" in linears

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        cache: tuple[Tensor, Tensor],
        mask: Tensor,
        cross: tuple[Tensor, Tensor, Tensor] | None,
    ) -> Tensor:
        """x [B, S, D] at `positions` [S]; `cache` is written there, `mask` [S, span] is causal."""
        B, S, D = x.shape
        fused = self.linears["qkv"](self.norms["self"](x))
        query, key, value = fused.view(B, S, 3, D).unbind(2)
        keys, values = cache
        keys.index_copy_(2, positions, self._split_heads(key))
        values.index_copy_(2, positions, self._split_heads(value))
        span = mask.shape[-1]
        mixed = self.attend(query, keys.narrow(2, 0, span), values.narrow(2, 0, span), mask)
        x = x + self.linears["self_out"](mixed)
        if cross is not None and self.has_cross_attention:
            query = self.linears["cross_query"](self.norms["cross"](x))
            x = x + self.linears["cross_out"](self.attend(query, *cross))
        hidden = F.gelu(self.linears["up"](self.norms["feed_forward"](x)))
        return x + self.linears["down"](hidden)

    def _split_heads(self, x: Tensor) -> Tensor:
        """[B, S, D] -> [B, H, S, hd]."""
        B, S, _ = x.shape
        return x.view(B, S, self.num_heads, self.head_dim).transpose(1, 2)


class LM(nn.Module):
    """The decoder with its heads. Build one with `lm_weights.load_lm`.

    Tokens are [K, S], shared by all B rows; `bias` is the frame conditioners' float32 [B, S, D].
    """

    embeddings: Tensor
    position_table: Tensor
    first_rows: Tensor

    def __init__(
        self,
        config: LMConfig,
        embeddings: Tensor,
        layers: list[DecoderLayer],
        final_norm: nn.LayerNorm,
        heads: nn.Module,
        conditioning: ConditionProjection,
    ) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("embeddings", embeddings)  # [K * (V + 1), D]
        self.layers = nn.ModuleList(layers)
        self.final_norm = final_norm
        self.heads = heads
        self.conditioning = conditioning
        rows = torch.arange(config.num_codebooks) * (config.vocab_size + 1)
        self.register_buffer("first_rows", rows)  # [K]
        self.register_buffer("position_table", sinusoids(config.max_positions, config.d_model))

    @property
    def dtype(self) -> torch.dtype:
        return self.embeddings.dtype

    @property
    def device(self) -> torch.device:
        return self.embeddings.device

    def prefill(
        self,
        tokens: Tensor,
        start: int,
        cache: KVCache,
        cross: CrossCache | None,
        bias: Tensor | None = None,
    ) -> Tensor:
        """Write positions start .. start + S - 1 of the cache: tokens [K, S] -> hidden [B, S, D].

        The hidden states are after the final norm; `logits` turns them into logits.
        """
        S = tokens.shape[1]
        x = self._embed(tokens).expand(cache.rows, S, self.config.d_model)
        return self._prefill(x if bias is None else x + bias, start, cache, cross)

    def prefill_prefix(self, prefix: Tensor, cache: KVCache) -> Tensor:
        """Write a melody checkpoint's conditions: prefix [B, P, D] at positions 0 .. P - 1."""
        return self._prefill(prefix.float(), 0, cache, None)

    def parallel(
        self,
        tokens: Tensor,
        cache: KVCache,
        cross: CrossCache | None,
        reach: int | None = None,
    ) -> Tensor:
        """All positions at once, each seeing all: tokens [K, S] -> hidden [B, S, D].

        For models of masked codes. With `reach` a position sees that many to either side. The
        cache is where keys and values lie meanwhile.
        """
        S = tokens.shape[1]
        positions = torch.arange(S, device=self.device)
        distance = (torch.arange(cache.span(S - 1), device=self.device) - positions[:, None]).abs()
        mask = torch.zeros(distance.shape, device=self.device)
        mask[:, S:] = -torch.inf
        if reach is not None:
            mask = mask.masked_fill(distance > reach, -torch.inf)
        x = self._embed(tokens).expand(cache.rows, S, self.config.d_model)
        return self._layers(x, positions, cache, cross, mask)

    def step(
        self,
        tokens: Tensor,
        position: Tensor,
        span: int,
        cache: KVCache,
        cross: CrossCache | None,
        bias: Tensor | None = None,
    ) -> Tensor:
        """One position: tokens [K], position [1], bias [B, D] -> logits float32 [B, K, V].

        `span` is `cache.span(position)`, a plain int so that shapes stay static.
        `native_step` has this as one call of compiled code.
        """
        x = self.input_row(tokens).expand(cache.rows, 1, self.config.d_model)
        if bias is not None:
            x = x + bias[:, None]
        columns = torch.arange(span, device=self.device)
        mask = torch.zeros(span, device=self.device).masked_fill(columns > position, -torch.inf)
        hidden = self._layers(x, position, cache, cross, mask[None])
        return self.logits(hidden)[:, 0]

    def logits(self, hidden: Tensor) -> Tensor:
        """hidden [B, S, D] -> logits float32 [B, S, K, V]."""
        B, S, _ = hidden.shape
        return self.heads(hidden).float().view(B, S, self.config.num_codebooks, -1)

    def _prefill(self, x: Tensor, start: int, cache: KVCache, cross: CrossCache | None) -> Tensor:
        S = x.shape[1]
        positions = torch.arange(start, start + S, device=self.device)
        columns = torch.arange(cache.span(start + S - 1), device=self.device)
        mask = torch.zeros(S, len(columns), device=self.device)
        mask = mask.masked_fill(columns > positions[:, None], -torch.inf)
        return self._layers(x, positions, cache, cross, mask)

    def input_row(self, tokens: Tensor) -> Tensor:
        """The embeddings of one position summed, without the position's: [K] -> float32 [D]."""
        return F.embedding(tokens + self.first_rows, self.embeddings).float().sum(0)

    def _embed(self, tokens: Tensor) -> Tensor:
        """tokens [K, S] -> float32 [1, S, D]."""
        rows = tokens + self.first_rows[:, None]
        return F.embedding(rows, self.embeddings).float().sum(0)[None]

    def _layers(
        self,
        x: Tensor,
        positions: Tensor,
        cache: KVCache,
        cross: CrossCache | None,
        mask: Tensor,
    ) -> Tensor:
        """x float32 [B, S, D] without positions -> hidden [B, S, D] after the final norm."""
        x = (x + self.position_table[positions]).to(self.dtype)
        for index, layer in enumerate(self.layers):
            text = None
            if cross is not None:
                text = (cross.keys[index], cross.values[index], cross.mask)
            past = (cache.keys[index], cache.values[index])
            x = layer(x, positions, past, mask, text)
        return self.final_norm(x)


class ConditionProjection(nn.Module):
    """Brings text states and chroma to the decoder's width; runs once a prompt, in float32."""

    def __init__(
        self,
        config: LMConfig,
        text: nn.Module,
        chroma: nn.Module | None,
        cross_weights: list[tuple[Tensor, Tensor]],
    ) -> None:
        super().__init__()
        self.num_heads, self.head_dim = config.num_heads, config.head_dim
        self.text = text
        self.chroma = chroma
        self.cross_weights = cross_weights  # for each layer the key and value matrices [D, D]

    def text_states(self, hidden: Tensor) -> Tensor:
        """Text encoder states [S, d_text] -> [S, D]."""
        return self.text(hidden.float())

    def chroma_states(self, chroma: Tensor) -> Tensor:
        """One-hot chroma [T, 12] -> [T, D]. For melody checkpoints."""
        assert self.chroma is not None
        return self.chroma(chroma.float())

    def cross_attention(self, states: Tensor) -> TextKV:
        """Projected text states [S, D] -> the keys and values of every layer's cross-attention."""
        keys = [self._heads(states, key) for key, _ in self.cross_weights]
        values = [self._heads(states, value) for _, value in self.cross_weights]
        return TextKV(torch.stack(keys), torch.stack(values))

    def _heads(self, states: Tensor, weight: Tensor) -> Tensor:
        """[S, D] -> [H, S, hd] in the weight's dtype."""
        projected = F.linear(states.to(weight.dtype), weight)
        return projected.view(-1, self.num_heads, self.head_dim).transpose(0, 1)


def sinusoids(num_positions: int, d_model: int) -> Tensor:
    """Absolute position embeddings, float32 [N, D]: cosines, then sines, exponent i / (half - 1).

    The tensor2tensor form that MusicGen uses, added once at the input.
    """
    half = d_model // 2
    exponent = torch.arange(half, dtype=torch.float32) * -(math.log(_POSITION_BASE) / (half - 1))
    angles = torch.arange(num_positions, dtype=torch.float32)[:, None] * exponent.exp()[None]
    return torch.cat([angles.cos(), angles.sin()], dim=1)
