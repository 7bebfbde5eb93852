"""What surrounds the networks: VGGish's front end by its definition, windows, labels, CLAP's space.

The published weights are not here; networks of random weights take their places.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn
from transformers import ClapConfig, ClapFeatureExtractor, ClapModel, ClapProcessor
from transformers import RobertaTokenizerFast as Tokenizer

from musicgen_rt.commands import evaluate_audio
from musicgen_rt.errors import ParameterError, UnsupportedError
from musicgen_rt.evaluate.audio_embedding import EMBEDDINGS, LogMel, embedding
from musicgen_rt.evaluate.audio_labels import kl_divergence, mean_cosine
from musicgen_rt.evaluate.audio_networks import NUM_LABELS, Clap, Passt, Vggish, vggish_examples


def noise(seconds: float, rate_hz: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (0.1 * random.standard_normal(round(seconds * rate_hz))).astype(np.float32)


def htk_mel(hertz: np.ndarray | float) -> np.ndarray:
    return np.asarray(1127.0 * np.log(1.0 + np.asarray(hertz) / 700.0))


def test_vggishs_front_end_is_its_definition() -> None:
    """Frame by frame: 25 ms periodic Hann, 512-point magnitude, 64 HTK bands, log(x + 0.01)."""
    samples = noise(2.2, 16_000)
    patches = vggish_examples(samples).numpy()
    assert patches.shape == (2, 1, 96, 64)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    edges = np.linspace(htk_mel(125.0), htk_mel(7500.0), 66)
    bins = np.arange(257) * 16_000 / 512
    # librosa's triangles are linear in Hz, TensorFlow's in mel: the same edges and peaks.
    hertz = 700.0 * (np.exp(edges / 1127.0) - 1.0)
    rising = (bins[:, None] - hertz[:-2]) / np.diff(hertz)[:-1]
    falling = (hertz[2:] - bins[:, None]) / np.diff(hertz)[1:]
    weights = np.maximum(0.0, np.minimum(rising, falling))
    for patch, frame in ((0, 0), (0, 95), (1, 40)):
        start = (patch * 96 + frame) * 160
        magnitude = np.abs(np.fft.rfft(samples[start : start + 400] * window, 512))
        expected = np.log(magnitude @ weights + 0.01)
        np.testing.assert_allclose(patches[patch, 0, frame], expected, atol=2e-4)


def test_vggish_embeds_a_window_at_a_time() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(96 * 64, 128))
    vectors = Vggish(network).embed(noise(3.0, 16_000))
    assert vectors.shape == (3, 128)
    assert vectors.dtype == np.float64


class Labels(nn.Module):
    """Logits that say how loud the window is, then features."""

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        print("as PaSST does", samples.shape)
        level = samples.square().mean(dim=1, keepdim=True)
        logits = level * torch.arange(NUM_LABELS)
        return torch.cat([logits, level.expand(-1, 7)], dim=1)


def test_passts_labels_are_the_mean_over_windows_and_its_features_the_rest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    passt = Passt(Labels())
    loud = noise(10.0, 32_000)
    quiet = (0.1 * loud).astype(np.float32)
    both = passt.label_probabilities(np.concatenate([loud, quiet]))
    apart = np.mean([passt.label_probabilities(one) for one in (loud, quiet)], axis=0)
    np.testing.assert_allclose(both, apart, atol=1e-9)
    assert both.sum() == pytest.approx(1.0)
    assert passt.embed(noise(25.0, 32_000)).shape == (2, 7)
    assert capsys.readouterr().out == ""


@pytest.fixture(scope="module")
def clap_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLAP of random weights, as a user would have a real one on disk."""
    folder = tmp_path_factory.mktemp("clap")
    tokens = [
        "<s>",
        "<pad>",
        "</s>",
        "<unk>",
        "<mask>",
        *sorted(map(chr, range(33, 127))),
        "\u0120",
    ]
    (folder / "vocab.json").write_text(json.dumps({one: n for n, one in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    text = {"vocab_size": len(tokens), "hidden_size": 16, "num_hidden_layers": 1,
            "num_attention_heads": 2, "intermediate_size": 16, "projection_dim": 8,
            "max_position_embeddings": 80}  # fmt: skip
    audio = {"depths": [1, 1], "num_attention_heads": [1, 2], "patch_embeds_hidden_size": 8,
             "hidden_size": 16, "projection_dim": 8, "enable_fusion": False,
             "num_hidden_layers": 2}  # fmt: skip
    torch.manual_seed(0)
    config = ClapConfig(text_config=text, audio_config=audio, projection_dim=8)
    ClapModel(config).save_pretrained(folder)
    tokenizer = Tokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    heard = ClapFeatureExtractor(truncation="rand_trunc")
    ClapProcessor(heard, tokenizer).save_pretrained(folder)
    return folder


def test_clap_is_loaded_from_a_folder_and_hears_and_reads_into_one_space(clap_folder: Path) -> None:
    clap = Clap.load(str(clap_folder))
    heard = clap.embed(noise(21.0, 48_000))
    read = clap.embed_texts(["house", "a slow waltz"])
    assert heard.shape == (2, 8)
    assert read.shape == (2, 8)
    for vectors in (heard, read):
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert -1.0 <= mean_cosine(heard, read) <= 1.0


def test_a_clap_of_pickles_only_is_refused_with_what_to_do(
    clap_folder: Path, tmp_path: Path
) -> None:
    for path in clap_folder.iterdir():
        if path.suffix != ".safetensors":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"PK")
    with pytest.raises(UnsupportedError, match=r"only pickles.*--revision refs/pr/N"):
        Clap.load(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "module"),
    [("vggish", "torch_vggish_yamnet.vggish"), ("passt", "hear21passt.base")],
)
def test_a_missing_library_is_told_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, name: str, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module.partition(".")[0], None)
    with pytest.raises(UnsupportedError, match=r"install musicgen-rt\[hearing\]"):
        embedding(name).load()


def test_the_command_offers_the_embeddings_that_there_are() -> None:
    assert tuple(EMBEDDINGS) == evaluate_audio.EMBEDDINGS


def test_an_unknown_embedding_is_refused_with_those_there_are() -> None:
    with pytest.raises(ParameterError, match="logmel, vggish, clap, passt"):
        embedding("mert")


def test_logmel_hears_spectrum_and_movement_and_says_what_it_is() -> None:
    hearing = LogMel()
    still = noise(4.5, 16_000)
    moving = still * (np.arange(len(still)) // 4000 % 2)
    vectors, other = hearing.embed(still), hearing.embed(moving.astype(np.float32))
    assert vectors.shape == (4, 48)
    assert other[:, 24:].mean() > 5 * vectors[:, 24:].mean()
    assert "nothing published" in hearing.comparable_with


def test_the_divergence_is_scipys() -> None:
    random = np.random.default_rng(0)
    one, other = random.dirichlet(np.ones(527), 2)
    one, other = (np.maximum(row, 1e-5) / np.maximum(row, 1e-5).sum() for row in (one, other))
    assert kl_divergence(one, other) == pytest.approx(scipy.stats.entropy(one, other), rel=1e-6)
    assert kl_divergence(one, one) == pytest.approx(0.0, abs=1e-12)


def test_an_impossible_class_costs_much_and_not_everything() -> None:
    assert 10 < kl_divergence(np.array([1.0, 0.0]), np.array([0.0, 1.0])) < 20


@pytest.mark.parametrize("bad", [[0.5, 0.4], [1.2, -0.2], [np.nan, 1.0], [0.2, 0.3, 0.5]])
def test_what_is_no_distribution_is_refused(bad: list[float]) -> None:
    with pytest.raises(ParameterError, match="class probabilities"):
        kl_divergence(np.array([0.5, 0.5]), np.array(bad))
