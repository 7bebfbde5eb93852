"""The latency that a loopback shows, and what is kept of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import resample_poly

from bridge.cli import main
from bridge.clock.loopback import LoopbackError, Take, latency_ms, sweep
from bridge.clock.output_latency import read_latencies, write_latency
from bridge.refusal import Refusal

RATE_HZ = 48000


def cable(delay_samples: float, noise: float = 0.0, gain: float = -0.3) -> np.ndarray:
    """What comes back: late to a tenth of a sample, turned over, softer, with noise."""
    ten_times = resample_poly(sweep(RATE_HZ).astype(float), 10, 1)
    whole = np.zeros(10 * RATE_HZ)
    begin = round(10 * delay_samples)
    whole[begin : begin + len(ten_times)] = ten_times
    heard = gain * resample_poly(whole, 1, 10)
    rolls = np.random.default_rng(1)
    return (heard + noise * rolls.standard_normal(len(heard))).astype(np.float32)


@pytest.mark.parametrize("delay_samples", [0.0, 512.0, 1024.3, 9000.7])
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_the_delay_of_a_cable_is_found(delay_samples: float, noise: float) -> None:
    take = Take(cable(delay_samples, noise), RATE_HZ, dac_seconds=5.020, adc_seconds=5.0)
    expected_ms = delay_samples / RATE_HZ * 1000 - 20
    assert latency_ms(take) == pytest.approx(expected_ms, abs=0.05)


@pytest.mark.parametrize("level", [0.0, 0.1])
def test_no_cable_is_told(level: float) -> None:
    rolls = np.random.default_rng(2)
    take = Take((level * rolls.standard_normal(RATE_HZ)).astype(np.float32), RATE_HZ, 0.0, 0.0)
    with pytest.raises(LoopbackError, match="connect an output to an input"):
        latency_ms(take)


def test_latencies_are_kept_by_device(tmp_path: Path) -> None:
    assert read_latencies(tmp_path) == {}
    write_latency(tmp_path, "card", 3.25)
    write_latency(tmp_path, "other", -1.0)
    assert read_latencies(tmp_path) == {"card": 3.25, "other": -1.0}


@pytest.mark.parametrize("text", ["{", "[]", '{"card": "x"}', '{"card": 1e9}', '{"card": true}'])
def test_a_file_of_nonsense_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "output-latency.json").write_text(text)
    with pytest.raises(Refusal, match="calibrate again"):
        read_latencies(tmp_path)


@pytest.mark.parametrize("text", ["{", '{"card": 1e9}'])
def test_calibrating_again_mends_a_file_of_nonsense(tmp_path: Path, text: str) -> None:
    (tmp_path / "output-latency.json").write_text(text)
    write_latency(tmp_path, "card", 2.0)
    assert read_latencies(tmp_path) == {"card": 2.0}


@pytest.mark.parametrize("latency_ms", [1500.0, -1000.1, float("nan")])
def test_a_latency_that_no_output_has_is_not_kept(tmp_path: Path, latency_ms: float) -> None:
    write_latency(tmp_path, "card", 2.0)
    with pytest.raises(Refusal, match="expected at most 1000"):
        write_latency(tmp_path, "card", latency_ms)
    assert read_latencies(tmp_path) == {"card": 2.0}


def test_a_known_latency_can_be_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["calibrate", "--device", "card", "--set-ms", "4.5", "--data", str(tmp_path), "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["latency_ms"] == 4.5
    assert read_latencies(tmp_path) == {"card": 4.5}
    assert main([*words[:4], "nan", *words[5:]]) == 2
    assert "expected -1000 to 1000" in capsys.readouterr().err
