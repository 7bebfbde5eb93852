"""Logits of the language model against transformers, at every position of a 30 s window."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from musicgen_rt.model.kv_cache import CrossCache, KVCache
from musicgen_rt.model.lm import LM
from musicgen_rt.model.musicgen import MusicGen
from tests.live.reference import Reference

WINDOW = 1500
# Of the largest logit: float32 through a few layers.
TOLERANCE = 1e-4
TEXT = "warm strings over a slow beat"


@dataclass
class Pair:
    """A checkpoint in this package and in transformers."""

    model: MusicGen
    reference: Reference

    @property
    def lm(self) -> LM:
        return self.model.lm

    def random_tokens(self, length: int) -> Tensor:
        """Delayed input tokens [K, length] of random codes."""
        generator = torch.Generator().manual_seed(length)
        shape = (self.reference.num_codebooks, length - 1)
        codes = torch.randint(0, self.model.config.lm.vocab_size, shape, generator=generator)
        return self.reference.delayed(codes.numpy())

    def text_states(self, text: str) -> Tensor:
        return self.lm.conditioning.text_states(self.model.text.encode(text))

    def caches(self, rows: int, positions: int) -> tuple[KVCache, CrossCache | None]:
        config, cpu = self.lm.config, torch.device("cpu")
        cache = KVCache.allocate(config, rows, positions, torch.float32, cpu)
        if self.model.config.kind == "melody":
            return cache, None
        cross = CrossCache.allocate(config, rows, 64, torch.float32, cpu)
        cross.set_row(0, self.lm.conditioning.cross_attention(self.text_states(TEXT)))
        return cache, cross


def pair_of(folder: Path, *, is_melody: bool = False) -> Pair:
    model = MusicGen.load(str(folder), device="cpu", weights="fp32")
    return Pair(model, Reference(folder, is_melody=is_melody))


@pytest.fixture(scope="module")
def text(tiny_text: Path) -> Pair:
    return pair_of(tiny_text)


@pytest.fixture(scope="module")
def stereo(tiny_stereo: Path) -> Pair:
    return pair_of(tiny_stereo)


@pytest.fixture(scope="module")
def melody(tiny_melody: Path) -> Pair:
    return pair_of(tiny_melody, is_melody=True)


def assert_close(found: Tensor, expected: Tensor) -> None:
    assert found.shape == expected.shape
    error = (found - expected).abs().amax(dim=tuple(range(1, found.dim())))
    limit = TOLERANCE * float(expected.abs().max())
    worst = int(error.argmax())
    assert float(error[worst]) <= limit, f"position {worst}: {error[worst]} > {limit}"


@pytest.mark.parametrize("name", ["text", "stereo"])
@torch.inference_mode()
def test_every_position_with_text_and_without(name: str, request: pytest.FixtureRequest) -> None:
    pair: Pair = request.getfixturevalue(name)
    tokens = pair.random_tokens(WINDOW)
    cache, cross = pair.caches(2, WINDOW)
    logits = pair.lm.logits(pair.lm.prefill(tokens, 0, cache, cross))  # [2, S, K, V]
    expected = pair.reference.logits(tokens, TEXT)
    assert_close(logits[0], expected)
    null = pair.reference.logits(tokens, None)
    assert_close(logits[1], null)
    assert float((expected - null).abs().max()) > 0.1, "the text must matter"


def chroma_of(seed: int) -> Tensor:
    classes = torch.randint(0, 12, (235,), generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.one_hot(classes, 12).float()


def null_chroma() -> Tensor:
    return torch.nn.functional.one_hot(torch.zeros(235, dtype=torch.long), 12).float()


@torch.inference_mode()
def test_every_position_after_a_melody_prefix(melody: Pair) -> None:
    tokens = melody.random_tokens(WINDOW)
    chroma, text = chroma_of(0), melody.text_states(TEXT)
    project = melody.lm.conditioning.chroma_states
    prefixes = torch.stack(
        [
            torch.cat([project(chroma), text]),
            torch.cat([project(null_chroma()), text]),
            torch.cat([project(null_chroma()), torch.zeros_like(text)]),
        ]
    )
    length = prefixes.shape[1]
    cache, _ = melody.caches(3, length + WINDOW)
    melody.lm.prefill_prefix(prefixes, cache)
    logits = melody.lm.logits(melody.lm.prefill(tokens, length, cache, None))
    reference = melody.reference
    assert_close(logits[0], reference.logits(tokens, TEXT, chroma=chroma))
    assert_close(logits[1], reference.logits(tokens, TEXT))
    assert_close(logits[2], reference.logits(tokens, None, text_length=len(text)))
    assert float((logits[0] - logits[1]).abs().max()) > 0.1, "the melody must matter"


@pytest.mark.parametrize("name", ["text", "stereo"])
@torch.inference_mode()
def test_steps_equal_prefill(name: str, request: pytest.FixtureRequest) -> None:
    pair: Pair = request.getfixturevalue(name)
    tokens = pair.random_tokens(WINDOW)
    expected = pair.reference.logits(tokens, TEXT)
    cache, cross = pair.caches(2, WINDOW)
    begins, made, positions = (0, 60, 700, WINDOW - 8), [], []
    known = 0
    for begin in begins:
        if begin > known:
            pair.lm.prefill(tokens[:, known:begin], known, cache, cross)
        known = min(begin + 8, WINDOW)  # crosses the edge of a span at 64
        for position in range(begin, known):
            span = cache.span(position)
            logits = pair.lm.step(tokens[:, position], torch.tensor([position]), span, cache, cross)
            made.append(logits[0])
            positions.append(position)
    assert positions[-1] == WINDOW - 1
    assert_close(torch.stack(made), expected[positions])


@torch.inference_mode()
def test_prefill_in_chunks_equals_prefill_at_once(text: Pair) -> None:
    tokens = text.random_tokens(200)
    cache, cross = text.caches(2, 200)
    whole = text.lm.prefill(tokens, 0, cache, cross)
    cache, cross = text.caches(2, 200)
    edges = [0, 1, 64, 65, 190, 200]
    parts = [
        text.lm.prefill(tokens[:, begin:end], begin, cache, cross)
        for begin, end in itertools.pairwise(edges)
    ]
    assert_close(torch.cat(parts, dim=1)[0], whole[0])


@torch.inference_mode()
def test_what_lies_behind_in_the_cache_does_not_matter(text: Pair) -> None:
    """Going back is only a smaller index: stale keys after it must not be seen."""
    tokens = text.random_tokens(80)
    cache, cross = text.caches(2, 128)
    text.lm.prefill(tokens[:, :40], 0, cache, cross)
    clean = text.lm.step(tokens[:, 40], torch.tensor([40]), 64, cache, cross)
    text.lm.prefill(tokens[:, 40:], 40, cache, cross)
    for layer in (*cache.keys, *cache.values):
        layer[:, :, 41:] *= 100.0
    assert torch.equal(text.lm.step(tokens[:, 40], torch.tensor([40]), 64, cache, cross), clean)


@torch.inference_mode()
def test_a_bias_is_added_to_the_input(text: Pair) -> None:
    """A frame conditioner's bias joins the embeddings of tokens and positions."""
    tokens = text.random_tokens(30)
    bias = torch.randn(2, 30, text.lm.config.d_model, generator=torch.Generator().manual_seed(0))
    cache, cross = text.caches(2, 64)
    logits = text.lm.logits(text.lm.prefill(tokens, 0, cache, cross, bias))
    # transformers adds position embeddings at the same place.
    positions = text.reference.model.decoder.model.decoder.embed_positions
    hook = positions.register_forward_hook(lambda module, args, output: output + bias[0])
    try:
        expected = text.reference.logits(tokens, TEXT)
    finally:
        hook.remove()
    assert_close(logits[0], expected)
    cache, cross = text.caches(2, 64)
    text.lm.prefill(tokens[:, :29], 0, cache, cross, bias[:, :29])
    stepped = text.lm.step(tokens[:, 29], torch.tensor([29]), 64, cache, cross, bias[:, 29])
    assert_close(stepped, logits[:, 29])
