"""Prompts are encoded as transformers encodes them, and bad prompts are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import MusicgenForConditionalGeneration, T5Config, T5EncoderModel

from musicgen_rt.errors import CheckpointError, PromptError
from musicgen_rt.model.checkpoint import Checkpoint
from musicgen_rt.model.text import MAX_PROMPT_CHARACTERS, TextEncoder

END_TOKEN = 1


@pytest.fixture(scope="module")
def encoder(tiny_text: Path) -> TextEncoder:
    return TextEncoder.from_checkpoint(Checkpoint.open(tiny_text))


@pytest.fixture(scope="module")
def reference(tiny_text: Path) -> T5EncoderModel:
    """Transformers' T5 alone, filled from the file by hand."""
    config = json.loads((tiny_text / "config.json").read_text())["text_encoder"]
    model = T5EncoderModel(T5Config(**config))
    weights = {
        name.removeprefix("text_encoder."): tensor
        for name, tensor in load_file(tiny_text / "model.safetensors").items()
        if name.startswith("text_encoder.")
    }
    weights["encoder.embed_tokens.weight"] = weights["shared.weight"]
    model.load_state_dict(weights)
    return model.eval()


def byte_tokens(text: str) -> torch.Tensor:
    """ByT5's tokens (Xue et al. 2021): bytes after three special tokens, then the end."""
    return torch.tensor([[byte + 3 for byte in text.encode()] + [END_TOKEN]])


@pytest.mark.parametrize("prompt", ["x", "deep house, 124 bpm", "  naïve café 音楽 🎹  "])
@torch.no_grad()
def test_hidden_states_are_transformers(
    encoder: TextEncoder, reference: T5EncoderModel, prompt: str
) -> None:
    expected = reference(input_ids=byte_tokens(prompt)).last_hidden_state[0]
    hidden = encoder.encode(prompt)
    assert hidden.dtype == torch.float32
    assert hidden.shape == expected.shape == (len(prompt.encode()) + 1, 32)
    torch.testing.assert_close(hidden, expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_bf16_weights_are_computed_in_fp32(tiny_text: Path, tmp_path: Path) -> None:
    model = MusicgenForConditionalGeneration.from_pretrained(tiny_text, dtype=torch.bfloat16)
    folder = Path(shutil.copytree(tiny_text, tmp_path / "bf16"))
    model.save_pretrained(folder)
    ids = byte_tokens("techno")
    expected = model.float().text_encoder(input_ids=ids).last_hidden_state[0]
    hidden = TextEncoder.from_checkpoint(Checkpoint.open(folder)).encode("techno")
    torch.testing.assert_close(hidden, expected, rtol=1e-5, atol=1e-5)


def test_the_same_prompt_is_encoded_once(
    encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = encoder.encode("once")
    first_values = first.clone()
    first.zero_()  # the caller's tensor is its own
    monkeypatch.setattr(encoder, "_model", None)
    assert torch.equal(encoder.encode("once"), first_values)


def test_the_cache_is_bounded(tiny_text: Path) -> None:
    encoder = TextEncoder.from_checkpoint(Checkpoint.open(tiny_text))
    for index in range(70):
        encoder.encode(f"{index}")
    assert len(encoder._cache) <= 64


@pytest.mark.parametrize(
    ("prompt", "named"),
    [
        ("", "empty"),
        (" \u3000 ", "empty"),
        ("x" * (MAX_PROMPT_CHARACTERS + 1), f"at most {MAX_PROMPT_CHARACTERS}"),
        ("x" * 1_000_000, "1000000 characters"),
        ("a\x00b", "U+0000 at position 1"),
        ("a\nb", "U+000A at position 1"),
        ("\x1b[2J", "U+001B at position 0"),
        ("\x85x", "U+0085 at position 0"),
        ("a\ud800", "U+D800 at position 1"),
    ],
)
def test_a_bad_prompt_is_refused_with_the_limit(
    encoder: TextEncoder, prompt: str, named: str
) -> None:
    with pytest.raises(PromptError) as caught:
        encoder.encode(prompt)
    assert named in str(caught.value) and len(str(caught.value)) < 300


def test_the_token_limit_is_the_one_given(tiny_text: Path) -> None:
    encoder = TextEncoder.from_checkpoint(Checkpoint.open(tiny_text), max_tokens=6)
    assert encoder.encode("12345").shape[0] == 6
    with pytest.raises(PromptError, match="7 tokens, expected 1 to 6"):
        encoder.encode("123456")


def write_t5_tokenizer(folder: Path, words: tuple[str, ...]) -> None:
    """tokenizer.json and tokenizer_config.json as the official checkpoints have them."""
    for path in folder.glob("*token*"):
        path.unlink()
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0)]
    vocabulary += [("▁" + word, -1.0) for word in words]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", END_TOKEN)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    values = {"tokenizer_class": "T5Tokenizer", "eos_token": "</s>", "extra_ids": 0}
    (folder / "tokenizer_config.json").write_text(json.dumps(values))


@torch.no_grad()
def test_the_official_tokenizer_layout_loads(
    tiny_text: Path, tmp_path: Path, reference: T5EncoderModel
) -> None:
    folder = Path(shutil.copytree(tiny_text, tmp_path / "t5"))
    write_t5_tokenizer(folder, ("deep", "house"))
    hidden = TextEncoder.from_checkpoint(Checkpoint.open(folder)).encode("deep house")
    ids = torch.tensor([[3, 4, END_TOKEN]])
    torch.testing.assert_close(hidden, reference(input_ids=ids).last_hidden_state[0])


def test_a_tokenizer_of_another_model_is_refused(tiny_text: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_text, tmp_path / "big"))
    write_t5_tokenizer(folder, tuple(f"w{index}" for index in range(500)))
    encoder = TextEncoder.from_checkpoint(Checkpoint.open(folder))
    with pytest.raises(CheckpointError, match="not of the same checkpoint"):
        encoder.encode("w499")


@pytest.mark.parametrize("left", [[], ["tokenizer_config.json"]])
def test_a_missing_vocabulary_is_named(tiny_text: Path, tmp_path: Path, left: list[str]) -> None:
    """Transformers makes a tokenizer that knows no word, without an error."""
    folder = Path(shutil.copytree(tiny_text, tmp_path / "none"))
    write_t5_tokenizer(folder, ("deep", "house"))
    for path in folder.glob("*token*"):
        if path.name not in left:
            path.unlink()
    with pytest.raises(CheckpointError, match=r"no vocabulary, expected .*tokenizer\.json"):
        TextEncoder.from_checkpoint(Checkpoint.open(folder))


def test_a_damaged_tokenizer_is_named(tiny_text: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_text, tmp_path / "damaged"))
    write_t5_tokenizer(folder, ("deep", "house"))
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(CheckpointError, match=f"{folder}: its tokenizer cannot be loaded"):
        TextEncoder.from_checkpoint(Checkpoint.open(folder))


def test_code_in_the_folder_is_never_run(tiny_text: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_text, tmp_path / "evil"))
    canary = tmp_path / "canary"
    (folder / "evil.py").write_text(f"open({str(canary)!r}, 'w')\nclass Evil: pass\n")
    path = folder / "tokenizer_config.json"
    auto_map = {"auto_map": {"AutoTokenizer": ["evil.Evil", None]}, "tokenizer_class": "Evil"}
    path.write_text(json.dumps(json.loads(path.read_text()) | auto_map))
    config = json.loads((folder / "config.json").read_text())
    config["text_encoder"]["auto_map"] = {"AutoModelForTextEncoding": "evil.Evil"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError):
        TextEncoder.from_checkpoint(Checkpoint.open(folder))
    assert not canary.exists()
