"""What `new-checkpoint` writes is what transformers loads, and behaves like a model."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoTokenizer,
    ByT5Tokenizer,
    MusicgenConfig,
    MusicgenForConditionalGeneration,
    MusicgenMelodyConfig,
    MusicgenMelodyFeatureExtractor,
    MusicgenMelodyForConditionalGeneration,
)

from musicgen_rt.commands import new_checkpoint as command
from musicgen_rt.errors import CheckpointError, ParameterError
from musicgen_rt.model import checkpoint_folder
from musicgen_rt.model.checkpoint import Checkpoint
from musicgen_rt.model.config import ModelConfig
from musicgen_rt.model.expected_shapes import lm_shapes
from musicgen_rt.model.hub import KNOWN_IDS
from musicgen_rt.model.new_checkpoint import write_checkpoint
from musicgen_rt.model.presets import Preset

SMALL = "facebook/musicgen-small"


def transformers_class(folder: Path) -> Any:
    kind = json.loads((folder / "config.json").read_text())["model_type"]
    return {
        "musicgen": MusicgenForConditionalGeneration,
        "musicgen_melody": MusicgenMelodyForConditionalGeneration,
    }[kind]


def load_strictly(folder: Path) -> Any:
    model, info = transformers_class(folder).from_pretrained(folder, output_loading_info=True)
    assert not any(info.values()), info
    return model.eval()


@pytest.mark.parametrize("like", KNOWN_IDS)
def test_transformers_and_we_load_every_kind(like: str, tmp_path: Path) -> None:
    write_checkpoint(like, tmp_path / "new", tiny=True, frame_conditioning="large" in like)
    model = load_strictly(tmp_path / "new")
    decoder = model.config.decoder
    assert decoder.audio_channels == (2 if "stereo" in like else 1)
    assert decoder.num_codebooks == 4 * decoder.audio_channels
    assert model.config.audio_encoder.hop_length == 640
    assert model.config.audio_encoder.num_quantizers == 4
    Checkpoint.open(tmp_path / "new").close()


@pytest.mark.parametrize("like", KNOWN_IDS)
def test_full_size_shapes_are_transformers(like: str) -> None:
    """Of the LM and the projections, against transformers' model built without memory."""
    values = Preset.like(like, tiny=False).config(dtype="fp32", frame_conditioning=False)
    is_melody = values["model_type"] == "musicgen_melody"
    with torch.device("meta"):
        model = (
            MusicgenMelodyForConditionalGeneration(MusicgenMelodyConfig(**values))
            if is_melody
            else MusicgenForConditionalGeneration(MusicgenConfig(**values))
        )
    expected = {
        name: tuple(tensor.shape)
        for name, tensor in model.state_dict().items()
        if not name.startswith(("text_encoder.", "audio_encoder."))
    }
    assert lm_shapes(ModelConfig.from_json(values)) == expected


@pytest.mark.parametrize(("size", "millions"), [("small", 420), ("medium", 1840), ("large", 3260)])
def test_full_size_parameter_counts_are_the_published_ones(size: str, millions: float) -> None:
    preset = Preset.like(f"facebook/musicgen-{size}", tiny=False)
    config = ModelConfig.from_json(preset.config(dtype="fp32", frame_conditioning=False))
    count = sum(math.prod(shape) for shape in lm_shapes(config).values())
    assert count / 1e6 == pytest.approx(millions, rel=0.01)


def decoder_logits(model: Any, codes: torch.Tensor, text_ids: torch.Tensor) -> torch.Tensor:
    """Transformers' logits for codes [K, T]: [K, T, V]."""
    mask = torch.ones_like(text_ids)
    with torch.no_grad():
        logits = model(input_ids=text_ids, attention_mask=mask, decoder_input_ids=codes).logits
    return logits[:, -codes.shape[1] :]


@pytest.mark.parametrize("kind", ["text", "stereo"])
def test_logits_are_spread_and_depend_on_everything(
    kind: str, request: pytest.FixtureRequest
) -> None:
    model = load_strictly(request.getfixturevalue(f"tiny_{kind}"))
    num_codebooks = model.config.decoder.num_codebooks
    codes = torch.randint(64, (num_codebooks, 50), generator=torch.Generator().manual_seed(1))
    text_ids = torch.tensor([[100, 101, 1]])
    logits = decoder_logits(model, codes, text_ids)
    best, second = logits.topk(2, dim=-1).values.unbind(-1)
    assert (best - second).quantile(0.01) > 100 * 1e-4
    assert 1 < logits.std() < 10
    assert logits.argmax(-1).unique().numel() > 10
    other_text = decoder_logits(model, codes, torch.tensor([[110, 99, 1]]))
    earlier = codes.clone()
    earlier[:, 20] = (earlier[:, 20] + 7) % 64
    for other in (other_text, decoder_logits(model, earlier, text_ids)):
        assert (other - logits)[:, -1].abs().max() > 100 * 1e-4


def test_the_codec_makes_sound_at_a_sensible_level(tiny_text: Path) -> None:
    codec = load_strictly(tiny_text).audio_encoder
    codes = torch.randint(64, (1, 1, 4, 25), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        audio = codec.decode(codes, [None]).audio_values
    assert audio.shape == (1, 1, 16000)
    assert 0.02 < audio.std() < 0.3
    assert audio.abs().max() < 1
    assert audio.mean().abs() < 0.2 * audio.std()


@pytest.mark.parametrize("kind", ["text", "stereo", "melody"])
def test_transformers_generates_with_the_files_as_written(
    kind: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(f"tiny_{kind}")
    model = load_strictly(folder)
    assert model.generation_config.guidance_scale == 3.0
    tokens = AutoTokenizer.from_pretrained(folder)("techno", return_tensors="pt")
    audio = model.generate(**tokens, max_new_tokens=8)
    assert audio.shape[:2] == (1, 2 if kind == "stereo" else 1)
    assert torch.isfinite(audio).all()


def test_the_tokenizer_and_feature_extractor_load(tiny_melody: Path) -> None:
    assert isinstance(AutoTokenizer.from_pretrained(tiny_melody), ByT5Tokenizer)
    extractor = MusicgenMelodyFeatureExtractor.from_pretrained(tiny_melody)
    chroma = Checkpoint.open(tiny_melody).config.chroma
    assert chroma is not None
    assert (extractor.n_fft, extractor.hop_length) == (chroma.n_fft, chroma.hop_samples)


def digest(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_the_seed_decides_the_weights(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_checkpoint(SMALL, tmp_path / name, tiny=True, seed=seed)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert (
        digest(tmp_path / "a")["model.safetensors"] != digest(tmp_path / "c")["model.safetensors"]
    )


def test_shards_hold_the_same_weights(
    tiny_frame_conditioned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_folder, "_SHARD_BYTES", 500_000)
    out = tmp_path / "sharded"
    write_checkpoint(SMALL, out, tiny=True, frame_conditioning=True)
    assert len(list(out.glob("model-*-of-*.safetensors"))) > 2
    load_strictly(out)
    with Checkpoint.open(out) as sharded, Checkpoint.open(tiny_frame_conditioned) as whole:
        assert set(sharded.names()) == set(whole.names())
        for name in whole.names():
            assert torch.equal(sharded.tensor(name), whole.tensor(name))


@pytest.mark.parametrize(("dtype", "expected"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_half_precision(dtype: str, expected: torch.dtype, tmp_path: Path) -> None:
    write_checkpoint(SMALL, tmp_path / "half", tiny=True, dtype=dtype)
    tensors = load_file(tmp_path / "half" / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {expected}
    assert load_strictly(tmp_path / "half").dtype == expected


def test_a_folder_with_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "song.wav").write_text("precious")
    with pytest.raises(CheckpointError, match="not an empty folder"):
        write_checkpoint(SMALL, tmp_path, tiny=True)
    with pytest.raises(CheckpointError, match="not an empty folder"):
        write_checkpoint(SMALL, tmp_path / "song.wav", tiny=True)
    assert [path.name for path in tmp_path.iterdir()] == ["song.wav"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_checkpoint(SMALL, tmp_path / "empty", tiny=True)
    assert (tmp_path / "empty" / "config.json").is_file()


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint_folder, "save_file", full)
    with pytest.raises(CheckpointError, match="No space left on device"):
        write_checkpoint(SMALL, tmp_path / "new", tiny=True)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_seen_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 10, 1_000_000_000))
    with pytest.raises(CheckpointError, match=r"2\.4 GB are needed, 1\.0 GB are free"):
        write_checkpoint(SMALL, tmp_path / "new")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("like", "options"),
    [
        ("musicgen-small", {}),
        ("facebook/opt-125m", {}),
        (SMALL, {"dtype": "int4"}),
        (SMALL, {"seed": -1}),
    ],
)
def test_bad_parameters_name_what_is_allowed(
    like: str, options: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ParameterError, match="expected"):
        write_checkpoint(like, tmp_path / "new", tiny=True, **options)
    assert not list(tmp_path.iterdir())


def test_the_command_writes_a_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    out = tmp_path / "new"
    arguments = f"--like {SMALL} --out {out} --tiny --frame-conditioning --dtype bf16 --seed 3"
    assert command.run(parser.parse_args(arguments.split())) == 0
    assert str(out) in capsys.readouterr().out
    assert Checkpoint.open(out).config.frame_conditioning is not None


def test_the_command_is_light_to_import() -> None:
    code = "import sys, musicgen_rt.commands.new_checkpoint; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
