"""The text encoder learns to read the facts of captions, and predicts them for prompts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from transformers import ByT5Tokenizer

from musicgen_rt.model.text_attributes import AttributeHeads, load_heads, save_heads
from musicgen_rt.train.lm_records import StatedCaption
from musicgen_rt.train.text_encoder import (
    attribute_losses,
    attribute_targets,
    build_text_encoder,
    generator_names,
    tokenise,
)

T5 = {
    "model_type": "t5", "vocab_size": 384, "d_model": 32, "d_kv": 8, "d_ff": 64,
    "num_layers": 1, "num_heads": 4, "dropout_rate": 0.0,
}  # fmt: skip


def test_stated_facts_are_learned_and_unstated_ones_count_little() -> None:
    torch.manual_seed(0)
    names = generator_names()
    encoder, heads = build_text_encoder(T5), AttributeHeads(32, names)
    optimizer = torch.optim.AdamW([*encoder.parameters(), *heads.parameters()], lr=1e-2)
    rng, tokenizer = np.random.default_rng(0), ByT5Tokenizer()
    rows: dict[str, float] = {}
    for _ in range(60):
        styles = rng.choice(names.styles, 32)
        captions = [
            StatedCaption(f"{style.replace('_', ' ')} no drums", {"style": style, "drums": False})
            for style in styles
        ]
        ids, mask = tokenise(tokenizer, [caption.text for caption in captions], 64)
        targets = attribute_targets(captions, [{"key": "C major"}] * 32, names)
        states = encoder(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        terms = attribute_losses(heads, states, mask, targets)
        loss = terms["text_style"] + terms["text_roles"] + terms["text_key"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rows = {name: float(term.detach()) for name, term in terms.items()}
    assert rows["text_style_right"] > 0.9
    assert rows["text_roles_right"] == 1.0
    assert rows["text_bpm"] == 0.0, "no caption and no clip said a tempo"


def test_a_long_text_keeps_its_end_token() -> None:
    ids, mask = tokenise(ByT5Tokenizer(), ["abc", "x" * 50], 10)
    assert ids.shape == (2, 10)
    assert ids[0].tolist() == [100, 101, 102, 1, 0, 0, 0, 0, 0, 0]
    assert ids[1, -1] == 1 and mask.sum(1).tolist() == [4, 10]


def test_padding_does_not_change_what_the_heads_say() -> None:
    heads = AttributeHeads(8, generator_names())
    states = torch.randn(1, 5, 8)
    padded = torch.cat([states, torch.randn(1, 3, 8)], dim=1)
    mask = torch.arange(8)[None] < 5
    plain = heads(states, torch.ones(1, 5, dtype=torch.bool))
    for name, logits in heads(padded, mask).items():
        assert torch.allclose(logits, plain[name], atol=1e-6), name


def test_heads_come_back_as_they_were_saved(tmp_path: Path) -> None:
    heads = AttributeHeads(8, generator_names())
    save_heads(tmp_path, heads)
    loaded = load_heads(tmp_path)
    assert loaded.names == heads.names
    for name, tensor in heads.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
