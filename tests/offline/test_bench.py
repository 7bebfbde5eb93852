"""The benchmark: figures that come from the clock and the model, and reports that hold them."""

from __future__ import annotations

import io
import itertools
import json
import math
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import rel_entr

from bridge.cli import main
from musicgen_rt.errors import ParameterError
from musicgen_rt.model.checkpoint import read_config
from musicgen_rt.model.linear import WeightFormat
from musicgen_rt.model.musicgen import MusicGen
from musicgen_rt.model.new_checkpoint import write_checkpoint
from musicgen_rt.offline import bench
from musicgen_rt.offline.bench import BenchOptions, random_checkpoint, run_bench
from musicgen_rt.offline.bench_codec import measure_codec
from musicgen_rt.offline.bench_engine import (
    EngineBench,
    check_fits,
    measure_first_audio,
    measure_real_time,
    measure_roll,
    measure_steps,
)
from musicgen_rt.offline.bench_figures import Figure
from musicgen_rt.offline.bench_machine import describe_machine
from musicgen_rt.offline.bench_quality import divergence_nats, log_probabilities
from musicgen_rt.offline.bench_reference import reference_dtype
from musicgen_rt.offline.bench_table import table

SMALL = EngineBench(context_frames=40, steps=20, repetitions=2)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model(tiny_text: Path) -> MusicGen:
    return MusicGen.load(str(tiny_text), device="cpu", weights="fp32")


@pytest.fixture(scope="module")
def melody(tiny_melody: Path) -> MusicGen:
    return MusicGen.load(str(tiny_melody), device="cpu", weights="fp32")


def ticking(tick_seconds: float) -> Callable[[], float]:
    """A clock on which a tick passes from each look to the next."""
    ticks = itertools.count()
    return lambda: next(ticks) * tick_seconds


def test_a_figure_is_the_median_of_its_values() -> None:
    assert Figure.of([3.0, 1.0, 2.0, 10.0]) == Figure(2.5, 1.0, 10.0, 4)


def test_steps_are_counted_and_timed(model: MusicGen, melody: MusicGen) -> None:
    """Looks: before the prefill, after it and a step, after all steps."""
    for one in (model, melody):
        speed, prefill = measure_steps(one, SMALL, ticking(2.0))
        assert speed == Figure(10.0, 10.0, 10.0, 2)
        assert prefill.median == pytest.approx(1000 * (2.0 - 2.0 / 20))


def test_steps_are_really_made(model: MusicGen, monkeypatch: pytest.MonkeyPatch) -> None:
    """With guidance two rows a step, without it one."""
    rows: list[int] = []
    real = model.lm.step

    def step(*args: Any) -> Any:
        logits = real(*args)
        rows.append(logits.shape[0])
        return logits

    monkeypatch.setattr(model.lm, "step", step)
    for cfg, expected in ((3.0, 2), (1.0, 1)):
        rows.clear()
        measure_steps(model, replace(SMALL, cfg=cfg, compile=False), ticking(1.0))
        assert len(rows) == 3 * (20 + 1)
        assert set(rows) == {expected}


def test_real_time_counts_audio(model: MusicGen) -> None:
    """20 frames are 0.4 s of audio, and a tick of 0.1 s passes."""
    assert measure_real_time(model, SMALL, ticking(0.1)).median == pytest.approx(4.0)


def test_a_roll_shows_its_longest_gap(model: MusicGen, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that jumps whenever a window is prefilled: at the roll, and in chunks before it."""
    now = [0.0]
    real = model.lm.prefill

    def prefill(*args: Any) -> Any:
        now[0] += 0.5
        return real(*args)

    def clock() -> float:
        now[0] += 0.01
        return now[0]

    monkeypatch.setattr(model.lm, "prefill", prefill)
    roll = measure_roll(model, SMALL, clock)
    assert roll.median_gap_ms == pytest.approx(10.0)
    assert roll.longest_gap_ms > 500.0
    assert roll.first_longest_gap_ms > 500.0
    assert roll.chunk_audio_ms == 200.0


def test_first_audio_takes_the_chunks_that_it_takes(model: MusicGen) -> None:
    assert measure_first_audio(model, SMALL, ticking(0.25)) == Figure(250.0, 250.0, 250.0, 2)


def test_codec_both_ways(model: MusicGen) -> None:
    """A tick a way for 4 s of audio."""
    figures = measure_codec(model, None, 3, ticking(1.0))
    assert figures.reference_ratio is None
    assert figures.batch_ms_per_second == Figure(250.0, 250.0, 250.0, 3)
    assert figures.streaming_ms_per_second.median == 250.0
    assert figures.ratio == 1.0


@pytest.mark.parametrize("kind", ["tiny_text", "tiny_melody", "tiny_stereo"])
def test_quality(kind: str, request: pytest.FixtureRequest) -> None:
    """0 against itself; coarser weights are further away; as scipy has it."""
    folder = str(request.getfixturevalue(kind))
    said = {
        name: log_probabilities(MusicGen.load(folder, device="cpu", weights=name), 24)
        for name in ("fp32", "bf16", "int4")
    }
    exact = said["fp32"]
    assert exact.shape[0] == 24
    np.testing.assert_allclose(exact.exp().sum(-1).numpy(), 1.0, atol=1e-5)
    assert divergence_nats(exact, exact) == 0.0
    assert 0 < divergence_nats(exact, said["bf16"]) < divergence_nats(exact, said["int4"])
    expected = rel_entr(exact.double().exp().numpy(), said["int4"].double().exp().numpy())
    actual = divergence_nats(exact, said["int4"])
    assert actual == pytest.approx(expected.sum(-1).mean(), rel=1e-3)


def test_memory_sees_what_is_held() -> None:
    """In a process of its own: from one as large as this the system may take more at any moment."""
    program = """
import json
import numpy as np
import torch
from musicgen_rt.offline.bench_memory import PeakMemory

memory = PeakMemory(torch.device("cpu"))
before = memory.figures().peak_rss_mb
held = np.ones(200_000_000, np.uint8)
after = memory.figures().peak_rss_mb
del held
again = memory.figures()
print(json.dumps([before, after, again.peak_rss_mb, again.is_lifetime]))
"""
    printed = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout
    before, after, again, is_lifetime = json.loads(printed)
    if not is_lifetime:
        # 200 MB were held; the system counts pages in batches.
        assert after - before > 150
        assert again - before > 150


def test_the_machine() -> None:
    machine = describe_machine(CPU)
    assert machine["memory_read_gb_per_second"] > 0.1
    assert machine["threads"] == torch.get_num_threads()
    assert machine["torch"] == torch.__version__
    assert machine["cpu"]
    assert machine["cores"] >= 1
    json.dumps(machine)


def test_the_reference_runs_in_what_suits_the_formats() -> None:
    fp32, int4 = WeightFormat.FP32, WeightFormat.INT4
    assert reference_dtype([fp32], CPU) == torch.float32
    assert reference_dtype([fp32, int4], CPU) == torch.bfloat16
    assert reference_dtype([int4], torch.device("cuda")) == torch.float16


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": ()}, "one or more"),
        ({"weights": ("int3",)}, "int3"),
        ({"engine": EngineBench(cfg=math.nan)}, "cfg"),
        ({"engine": EngineBench(steps=0)}, "steps is 0"),
        ({"engine": EngineBench(repetitions=0)}, "repetitions is 0"),
        ({"engine": EngineBench(context_frames=1)}, "context_frames is 1"),
        ({"reference_steps": 1}, "reference_steps is 1"),
    ],
)
def test_options_are_checked(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        BenchOptions(**change)


def test_contexts_must_fit(model: MusicGen) -> None:
    with pytest.raises(ParameterError, match="has positions for a context of 20 to"):
        check_fits(model.config, EngineBench(context_frames=2000))


def test_all_of_it_beside_transformers(tiny_text: Path) -> None:
    """Two formats in one run, on the real clock, whose times are not judged."""
    lines: list[str] = []
    options = BenchOptions(("fp32", "int8", "fp32"), engine=SMALL, reference_steps=10)
    report = run_bench(str(tiny_text), options, report=lines.append)
    assert [one.weights for one in report.formats] == ["fp32", "int8"]
    fp32, int8 = report.formats
    assert fp32.kl_nats == 0.0
    assert int8.kl_nats is not None and int8.kl_nats > 0
    for one in report.formats:
        assert one.reference is not None
        own, theirs = one.reference.own_steps_per_second, one.reference.reference_steps_per_second
        assert one.reference.ratio == own.median / theirs.median
        assert one.lm_steps_per_second.count == 2
        assert one.reference.dtype == "bfloat16"
    assert any("transformers" in line for line in lines)
    json.dumps(report.to_json(), allow_nan=False)
    shown = table(report)
    assert "fp32" in shown.splitlines()[3]
    assert f"{fp32.lm_steps_per_second.median:.1f}" in shown


def test_the_command_prints_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MUSICGEN_RT_CACHE", str(tmp_path / "cache"))
    arguments = "bench --random-weights --like facebook/musicgen-stereo-small --tiny --weights fp32"
    settings = "--context-frames 30 --steps 10 --repetitions 1 --no-reference --no-quality --json"
    with redirect_stderr(io.StringIO()) as progress:
        assert main(f"{arguments} {settings}".split()) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["has_random_weights"] is True
    assert report["formats"][0]["kl_nats"] is None
    assert report["formats"][0]["reference"] is None
    assert report["options"]["engine"]["context_frames"] == 30
    assert "writing random weights" in progress.getvalue()
    heard: list[str] = []
    folder = random_checkpoint("facebook/musicgen-stereo-small", tiny=True, report=heard.append)
    assert heard == []
    assert str(folder) == report["model"]


def test_random_weights_that_another_process_wrote_meanwhile_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUSICGEN_RT_CACHE", str(tmp_path))

    def write_after_another(like: str, out: Path, *, tiny: bool) -> None:
        write_checkpoint(like, out, tiny=tiny)
        write_checkpoint(like, out, tiny=tiny)

    monkeypatch.setattr(bench, "write_checkpoint", write_after_another)
    folder = random_checkpoint("facebook/musicgen-small", tiny=True, report=lambda line: None)
    assert read_config(folder).lm.num_codebooks == 4


@pytest.mark.parametrize(
    "arguments",
    [
        "--model a --random-weights",
        "--model a --tiny",
        "--random-weights --like facebook/none",
        "--random-weights --tiny --steps 0",
        "--random-weights --tiny --threads 0",
        "--random-weights --tiny --weights int3",
        "--random-weights --tiny --weights ,",
        "--random-weights --tiny --context-frames 3000",
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: str,
) -> None:
    monkeypatch.setenv("MUSICGEN_RT_CACHE", str(tmp_path))
    assert main(["bench", *arguments.split()]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines()[-1].startswith("musicgen-rt: error: ")
