"""Runs blocks of steps: logits, guidance, sampling and feedback, with no host in between.

On a CPU the steps run one after the other, each a call of compiled code where that can be had. On
CUDA a whole block is one graph: all that varies (noise, biases, guidance, sampling, forced tokens)
lies in static input buffers, and the only synchronisation is the read of the block's tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from musicgen_rt.live.sampling import guide, sample, top_k_alone
from musicgen_rt.live.token_store import UNKNOWN
from musicgen_rt.model.kv_cache import CrossCache, KVCache
from musicgen_rt.model.lm import LM

StepFunction = Callable[..., Tensor]


@dataclass(frozen=True)
class StepBlock:
    """The inputs of n steps. On the CPU; `Stepper.run` moves them."""

    first_tokens: Tensor  # int64 [K], the model's input at the first step
    first_position: int
    noise: Tensor  # float32 [n, K, V]
    bias: Tensor | None  # float32 [n, B, D]
    coefficients: Tensor  # float32 [n, B]
    parameters: Tensor  # float32 [n, 3]
    forced: Tensor  # int64 [n, K]: a token that is given, or UNKNOWN

    @property
    def num_steps(self) -> int:
        return self.forced.shape[0]

    def tensors(self) -> tuple[Tensor | None, ...]:
        """The inputs that a captured graph reads from static buffers."""
        return (
            self.first_tokens,
            torch.tensor([self.first_position]),
            self.noise,
            self.bias,
            self.coefficients,
            self.parameters,
            self.forced,
        )


@dataclass(frozen=True)
class StepResult:
    """What n steps made, on the CPU."""

    tokens: Tensor  # int64 [n, K]
    is_finite: Tensor  # bool [n], of the rows' logits


class Stepper:
    """Runs blocks for one LM. One thread."""

    def __init__(self, lm: LM, step: StepFunction | None = None) -> None:
        self.lm = lm
        self._step = step or lm.step
        self._graphs: dict[tuple[int, int, int, int], _CapturedBlock] = {}
        self._graph_pool: Any = None

    @torch.inference_mode()
    def run(self, block: StepBlock, cache: KVCache, cross: CrossCache | None) -> StepResult:
        """Make the block's diagonals. All its steps must read one span."""
        span = cache.span(block.first_position)
        if self.lm.device.type == "cuda":
            tokens, is_finite = self._replay(block, span, cache, cross)
        else:
            inputs = [_to(tensor, self.lm.device) for tensor in block.tensors()]
            known = [top_k_alone(row) for row in block.parameters]
            tokens, is_finite = self._steps(inputs, span, cache, cross, known)
        return StepResult(tokens.cpu(), is_finite.cpu())

    def forget_graphs(self, cache: KVCache) -> None:
        """Drop the graphs captured for a cache that is about to be freed: they hold its address."""
        self._graphs = {key: graph for key, graph in self._graphs.items() if key[0] != id(cache)}

    def _steps(
        self,
        inputs: list[Tensor | None],
        span: int,
        cache: KVCache,
        cross: CrossCache | None,
        known_top_k: Sequence[int | None] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The steps themselves: the same code runs eagerly and under capture."""
        tokens, position, noise, bias, coefficients, parameters, forced = inputs
        assert tokens is not None and position is not None and noise is not None
        assert coefficients is not None and parameters is not None and forced is not None
        made, finite = [], []
        for i in range(forced.shape[0]):
            row_bias = None if bias is None else bias[i]
            logits = self._step(tokens, position, span, cache, cross, row_bias)
            finite.append(torch.isfinite(logits).all())
            known = None if known_top_k is None else known_top_k[i]
            drawn = sample(guide(logits, coefficients[i]), noise[i], parameters[i], known)
            tokens = torch.where(forced[i] == UNKNOWN, drawn, forced[i])
            made.append(tokens)
            position = position + 1
        return torch.stack(made), torch.stack(finite)

    def _replay(
        self, block: StepBlock, span: int, cache: KVCache, cross: CrossCache | None
    ) -> tuple[Tensor, Tensor]:
        key = (id(cache), id(cross), span, block.num_steps)
        captured = self._graphs.get(key)
        if captured is None:
            # One pool for all: graphs never run at the same time, and what one made is copied to
            # the host before the next one runs.
            self._graph_pool = self._graph_pool or torch.cuda.graph_pool_handle()
            captured = _CapturedBlock(block, self.lm.device)
            captured.capture(
                lambda inputs: self._steps(inputs, span, cache, cross), self._graph_pool
            )
            self._graphs[key] = captured
        return captured.replay(block)


class _CapturedBlock:
    """One CUDA graph of n steps with its static inputs and outputs."""

    def __init__(self, block: StepBlock, device: torch.device) -> None:
        self._inputs = [_to(tensor, device) for tensor in block.tensors()]
        self._graph = torch.cuda.CUDAGraph()
        self._outputs: tuple[Tensor, Tensor] | None = None

    def capture(
        self,
        steps: Callable[[list[Tensor | None]], tuple[Tensor, Tensor]],
        pool: Any,
    ) -> None:
        # A run beforehand lets libraries allocate their work spaces outside the capture. It writes
        # the cache at this block's own positions only, which the replay writes again.
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            steps(self._inputs)
        torch.cuda.current_stream().wait_stream(stream)
        with torch.cuda.graph(self._graph, pool=pool):
            self._outputs = steps(self._inputs)

    def replay(self, block: StepBlock) -> tuple[Tensor, Tensor]:
        for mine, new in zip(self._inputs, block.tensors(), strict=True):
            if mine is not None and new is not None:
                mine.copy_(new, non_blocking=True)
        self._graph.replay()
        assert self._outputs is not None
        return self._outputs


def _to(tensor: Tensor | None, device: torch.device) -> Tensor | None:
    return None if tensor is None else tensor.to(device)
