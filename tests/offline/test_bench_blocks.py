"""The benchmark of a model of masked codes: figures that follow from the clock and the model."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.cli import main
from musicgen_rt.errors import ParameterError
from musicgen_rt.model.musicgen import MusicGen
from musicgen_rt.offline.bench import random_checkpoint
from musicgen_rt.offline.bench_blocks import BlockReport, block_table, is_masked, measure_blocks
from musicgen_rt.offline.bench_engine import EngineBench
from tests.support.audiocraft import convert_recorded

BENCH = EngineBench(context_frames=100, steps=10, repetitions=1, compile=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convert_recorded(tmp_path_factory.mktemp("magnet"), "magnet")


@pytest.fixture(scope="module")
def model(folder: Path) -> MusicGen:
    model = MusicGen.load(str(folder), device="cpu", weights="fp32")
    assert model.config.magnet is not None
    fast = replace(model.config.magnet, decoding_steps=(2, 1, 1, 1))
    return replace(model, config=replace(model.config, magnet=fast))


def test_figures_follow_from_the_clock(model: MusicGen) -> None:
    """With a clock that counts half seconds every measurement has a known result."""
    ticks = itertools.count()
    found = measure_blocks(model, BENCH, lambda line: None, lambda: next(ticks) / 2)
    assert found.passes == 5
    # A window of a second, of which a roll keeps two fifths.
    assert (found.first_block_seconds, found.next_block_seconds) == (1.0, 0.6)
    assert found.first_latency_ms.median == found.next_latency_ms.median == 500
    assert found.real_time_factor == pytest.approx(1.2)
    assert found.autoregressive_steps_per_second.median == 20
    assert found.ratio == pytest.approx(1.2 / (20 / 50))
    report = BlockReport("folder", True, {"torch": "2"}, (found,))
    text = block_table(report)
    assert "5 passes a block, guidance 3" in text and "behind 100 frames: 20.0 a second" in text
    assert "next block, 0.6 s: 500 ms, 1.20 x real time" in text
    assert "ratio: 3.0" in text and "random" in text
    assert json.loads(json.dumps(report.to_json()))["formats"][0]["passes"] == 5


def test_a_model_of_single_steps_is_not_one(model: MusicGen, tiny_text: Path, folder: Path) -> None:
    assert is_masked(str(folder)) and not is_masked(str(tiny_text))
    plain = replace(model, config=replace(model.config, magnet=None))
    with pytest.raises(ParameterError, match="expected a MAGNeT"):
        measure_blocks(plain, BENCH, lambda line: None, lambda: 0.0)


def test_the_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = "--weights fp32,auto --repetitions 1 --steps 10 --context-frames 60 --no-compile "
    arguments += "--json --quiet"
    assert main(["bench", "--model", str(folder), *arguments.split()]) == 0
    report = json.loads(capsys.readouterr().out)
    [found] = report["formats"]  # auto is fp32 for so small a model
    assert found["ratio"] > 0 and found["weights"] == "fp32"
    assert (found["passes"], found["context_frames"]) == (90, 60)


def test_what_cannot_be_measured_is_told_before_anything_is(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for wrong, said in (
        (["--context-frames", "5000"], "has positions for a context of 20 to"),
        (["--weights", "fp32,int3"], "int3"),
    ):
        assert main(["bench", "--model", str(folder), *wrong]) != 0
        error = capsys.readouterr().err
        assert said in error and "loading" not in error


@pytest.mark.parametrize("like", ["facebook/magnet-small-10secs", "facebook/audiogen-medium"])
def test_random_weights_of_either_kind_are_measured(
    like: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the documented commands do it, in small dimensions and with few passes."""
    monkeypatch.setenv("MUSICGEN_RT_CACHE", str(tmp_path))
    path = random_checkpoint(like, tiny=True, report=lambda line: None) / "config.json"
    config = json.loads(path.read_text())
    if "magnet" in config:
        assert config["magnet"]["decoding_steps"] == [20, 10, 10, 10]
        config["magnet"]["decoding_steps"] = [2, 1, 1, 1]
        path.write_text(json.dumps(config))
    random = ["--random-weights", "--like", like, "--tiny", "--no-reference", "--no-quality"]
    few = ["--repetitions", "1", "--steps", "10", "--no-compile", "--quiet"]
    assert main(["bench", *random, *few, "--weights", "fp32,bf16"]) == 0
    shown = capsys.readouterr().out
    if "magnet" in like:
        assert "5 passes a block" in shown and shown.count("  ratio: ") == 2
        assert "the weights are random" in shown
    else:
        assert "LM steps a second" in shown and "prompt to first audio" in shown
