"""`musicgen-rt train`: every stage from one file, and faults that are said in a line."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from musicgen_rt.commands import train
from musicgen_rt.model.musicgen import MusicGen

CONFIG = """
[data]
folder = "{0}/data"
clips = 1
seconds = 2.0

[codec]
run_folder = "{0}/codec-run"
steps = 3
batch_rows = 2
code_starts = [1]
threads = 1
shape = {{ filters = 2, latent_channels = 8, codebook_size = 16 }}
pool = {{ clips = 2, clip_seconds = 1.0, segment_seconds = 0.5 }}

[decoder]
run_folder = "{0}/decoder-run"
start = "{0}/codec-run"
steps = 2
batch_rows = 2
threads = 1
discriminator = {{ filters = 2, fft_samples = [512] }}
pool = {{ clips = 2, clip_seconds = 1.0 }}

[export-codec]
run = "{0}/decoder-run"
out = "{0}/codec"

[encode]
folder = "{0}/clips"
codec = "{0}/codec"
clips = 2
clip_seconds = 2.0
captions_per_clip = 3
workers = 0

[lm]
run_folder = "{0}/lm-run"
data = "{0}/clips"
codec = "{0}/codec"
steps = 2
threads = 1
report_steps = 1
batch = {{ rows = 2, window_frames = 40 }}

[lm.shape]
d_model = 32
layers = 1
heads = 2
ffn_dim = 64
text = {{ d_model = 16, layers = 1 }}

[export]
run = "{0}/lm-run"
out = "{0}/model"
dtype = "fp16"
plot = "{0}/loss.svg"

[adapter]
run_folder = "{0}/adapter-run"
data = "{0}/clips"
start = "{0}/model"
steps = 1
threads = 1
batch = {{ rows = 2, window_frames = 40 }}
"""
BAD_PLOT = """
[bad-plot]
run = "{0}/lm-run"
out = "{0}/again"
plot = "{0}/never.svg"
curves = ["taste"]
"""


def run(stage: str, config: Path, table: str | None = None) -> int:
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    arguments = [stage, "--config", str(config)]
    if table:
        arguments += ["--table", table]
    return train.run(parser.parse_args(arguments))


def test_from_generated_music_to_a_model_that_plays(tmp_path: Path) -> None:
    config = tmp_path / "pocket.toml"
    config.write_text(CONFIG.format(tmp_path), encoding="utf-8")
    assert run("data", config) == 0
    assert sorted(path.suffix for path in (tmp_path / "data").iterdir()) == [
        ".json", ".mid", ".txt", ".wav",
    ]  # fmt: skip
    assert run("codec", config) == 0
    assert run("decoder", config) == 0
    assert run("export", config, "export-codec") == 0
    for stage in ("encode", "lm", "export", "adapter"):
        assert run(stage, config) == 0
    loaded = MusicGen.load(str(tmp_path / "model"), device="cpu")
    assert loaded.config.lm.num_codebooks == 4 and loaded.conditioner is not None
    assert (tmp_path / "loss.svg").read_text().count("<polyline") == 1
    # A picture of what was not measured is refused before anything is written.
    with config.open("a", encoding="utf-8") as file:
        file.write(BAD_PLOT.format(tmp_path))
    assert run("export", config, "bad-plot") == 1
    assert not (tmp_path / "again").exists()


LORA = """
[lm]
run_folder = "run"
data = "clips"
start = "model"
steps = 1
lora = { rank = 2, targets = ["qproj"] }
"""


def test_a_stage_for_one_process_is_not_run_by_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "pocket.toml"
    config.write_text(CONFIG.format(tmp_path), encoding="utf-8")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert run("codec", config) == 2
    assert "2 processes for 'codec', which runs in one" in capsys.readouterr().err
    assert not (tmp_path / "codec-run").exists()


def test_faults_take_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "bad.toml"
    for text, table, message in [
        ("", None, "is missing and has no default"),
        ("[lm]\nstep = 3\n", None, "unknown key lm.step"),
        ("[lm]\n", "other", "has no table [other]"),
        ("x = \n", None, "not valid TOML"),
        ("[lm]\nrun_folder = '\u00e9'\n", None, "not valid TOML"),
        (LORA, None, "lora.targets has 'qproj'; allowed: q_proj"),
    ]:
        config.write_text(text, encoding="latin-1")
        assert run("lm", config, table) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
