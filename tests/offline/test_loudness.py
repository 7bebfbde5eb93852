"""Loudness against pyloudnorm and the standard's own figures; true peak against scipy."""

from __future__ import annotations

import math
import tracemalloc
from pathlib import Path

import numpy as np
import pyloudnorm
import pytest
import scipy.signal
import soundfile

from musicgen_rt.errors import AudioFileError, ParameterError
from musicgen_rt.offline.loudness import (
    LoudnessMeter,
    TruePeakMeter,
    measure_file,
    normalise_file,
)


def loud_and_quiet(channels: int, seconds: float, rate_hz: int, seed: int) -> np.ndarray:
    """Coloured noise whose level steps between -60 and 0 dB, so that both gates matter."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((channels, round(seconds * rate_hz)))
    noise = scipy.signal.lfilter([0.1], [1, -0.9], noise)
    steps_db = rng.uniform(-60, 0, math.ceil(seconds * 2))
    level = np.repeat(10 ** (steps_db / 20), rate_hz // 2 + 1)[: noise.shape[1]]
    return (0.5 * noise * level).astype(np.float32)


def measured(samples: np.ndarray, rate_hz: int, num_blocks: int) -> float:
    meter = LoudnessMeter(rate_hz, samples.shape[0])
    for block in np.array_split(samples, num_blocks, axis=1):
        meter.add(block)
    return meter.integrated_lufs()


@pytest.mark.parametrize("rate_hz", [32000, 44100, 48000, 11025])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_agrees_with_pyloudnorm(rate_hz: int, channels: int, seed: int) -> None:
    samples = loud_and_quiet(channels, 8.0, rate_hz, seed)
    expected = pyloudnorm.Meter(rate_hz).integrated_loudness(samples.T.astype(np.float64))
    assert measured(samples, rate_hz, 7) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("rate_hz", [32000, 48000])
def test_the_standards_calibration_tone(rate_hz: int) -> None:
    """BS.1770: 997 Hz at full scale in one channel reads -3.01 LUFS."""
    t = np.arange(5 * rate_hz) / rate_hz
    tone = np.sin(2 * np.pi * 997 * t)[None].astype(np.float32)
    assert measured(tone, rate_hz, 1) == pytest.approx(-3.01, abs=0.06)
    assert measured(np.repeat(tone, 2, axis=0), rate_hz, 1) == pytest.approx(0.0, abs=0.06)


def test_the_gates_of_ebu_tech_3341() -> None:
    """Test case 3: 10 s at -36, 60 s at -23 and 10 s at -36 dBFS in both channels: -23 LUFS."""
    rate_hz = 24000
    levels = np.repeat([-36.0, -23.0, -36.0], np.array([10, 60, 10]) * rate_hz)
    t = np.arange(len(levels)) / rate_hz
    tone = (10 ** (levels / 20) * np.sin(2 * np.pi * 1000 * t)).astype(np.float32)
    assert measured(np.stack([tone, tone]), rate_hz, 9) == pytest.approx(-23.0, abs=0.1)


def test_block_sizes_do_not_matter() -> None:
    samples = loud_and_quiet(2, 5.0, 44100, seed=3)
    whole = measured(samples, 44100, 1)
    for num_blocks in (3, 1000):
        assert measured(samples, 44100, num_blocks) == pytest.approx(whole, abs=1e-9)


def test_silence_and_too_short() -> None:
    assert measured(np.zeros((1, 32000), np.float32), 32000, 3) == -math.inf
    assert measured(np.ones((1, 12799), np.float32), 32000, 1) == -math.inf
    assert measured(np.ones((1, 12800), np.float32), 32000, 1) > -70
    assert LoudnessMeter(32000, 1).integrated_lufs() == -math.inf


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_true_peak_agrees_with_scipy(seed: int) -> None:
    """On noise without the top octave, where all interpolation filters agree."""
    rng = np.random.default_rng(seed)
    low = scipy.signal.firwin(255, 0.5)
    noise = scipy.signal.lfilter(low, 1, 0.2 * rng.standard_normal((2, 20_000)))
    noise = (noise * np.hanning(20_000)).astype(np.float32)
    expected = np.abs(scipy.signal.resample_poly(noise, 4, 1, axis=1)).max()
    meter = TruePeakMeter(32000, 2)
    for block in np.array_split(noise, 13, axis=1):
        meter.add(block)
    assert meter.finish() == pytest.approx(20 * np.log10(expected), abs=0.05)


def test_true_peak_between_samples() -> None:
    """A quarter-rate sine sampled at 45 degrees peaks 3.01 dB above its samples."""
    n = np.arange(32000)
    tone = (0.5 * np.sin(np.pi / 2 * n + np.pi / 4)).astype(np.float32)
    tone *= np.clip(np.minimum(n, n[::-1]) / 3200, 0, 1).astype(np.float32)
    meter = TruePeakMeter(32000, 1)
    meter.add(tone[None])
    assert meter.finish() == pytest.approx(20 * np.log10(0.5), abs=0.05)
    assert 20 * np.log10(np.abs(tone).max()) == pytest.approx(-9.03, abs=0.01)


def save(path: Path, samples: np.ndarray, rate_hz: int = 32000) -> Path:
    soundfile.write(path, samples.T, rate_hz, subtype="FLOAT")
    return path


@pytest.mark.parametrize("name", ["out.wav", "out.flac"])
@pytest.mark.parametrize("target_lufs", [-30.0, -23.0])
def test_normalise_reaches_the_target(tmp_path: Path, name: str, target_lufs: float) -> None:
    source = save(tmp_path / "in.wav", loud_and_quiet(2, 6.0, 32000, seed=4) * 0.3)
    result = normalise_file(source, tmp_path / name, target_lufs)
    assert not result.is_limited_by_ceiling
    written, rate_hz = soundfile.read(tmp_path / name)
    loudness = pyloudnorm.Meter(rate_hz).integrated_loudness(written)
    assert loudness == pytest.approx(target_lufs, abs=0.1)
    assert result.output.integrated_lufs == pytest.approx(target_lufs)
    assert written.shape == (192_000, 2)


def test_normalise_stops_at_the_ceiling(tmp_path: Path) -> None:
    source = save(tmp_path / "in.wav", loud_and_quiet(1, 6.0, 32000, seed=5) * 0.1)
    result = normalise_file(source, tmp_path / "out.flac", -5.0, ceiling_dbtp=-2.0)
    assert result.is_limited_by_ceiling
    assert result.output.integrated_lufs < -5.0
    written, _ = soundfile.read(tmp_path / "out.flac")
    peak = np.abs(scipy.signal.resample_poly(written, 4, 1)).max()
    assert 20 * np.log10(peak) == pytest.approx(-2.0, abs=0.1)
    again = measure_file(tmp_path / "out.flac")
    assert again.true_peak_dbtp == pytest.approx(result.output.true_peak_dbtp, abs=1e-3)
    assert again.integrated_lufs == pytest.approx(result.output.integrated_lufs, abs=1e-3)


def test_normalise_where_the_gain_lets_quiet_passages_through_the_gate(tmp_path: Path) -> None:
    source = save(tmp_path / "in.wav", loud_and_quiet(1, 6.0, 32000, seed=5) * 0.01)
    result = normalise_file(source, tmp_path / "out.wav", -25.0)
    loudness = pyloudnorm.Meter(32000).integrated_loudness(soundfile.read(tmp_path / "out.wav")[0])
    assert loudness == pytest.approx(-25.0, abs=0.1)
    naive_db = -25.0 - result.input.integrated_lufs
    assert abs(result.gain_db - naive_db) > 0.2, "the signal does not exercise the gate"


def test_normalise_in_place_and_silence(tmp_path: Path) -> None:
    path = save(tmp_path / "a.wav", loud_and_quiet(1, 3.0, 32000, seed=6) * 0.1)
    normalise_file(path, path, -20.0)
    assert measure_file(path).integrated_lufs == pytest.approx(-20.0, abs=0.01)
    silent = save(tmp_path / "silent.wav", np.zeros((1, 32000), np.float32))
    result = normalise_file(silent, tmp_path / "out.wav", -20.0)
    assert (result.gain_db, result.is_limited_by_ceiling) == (0.0, False)
    assert not soundfile.read(tmp_path / "out.wav")[0].any()


def test_memory_stays_flat(tmp_path: Path) -> None:
    """Ten times as long takes hardly more."""
    peaks = []
    for seconds in (20, 200):
        noise = np.random.default_rng(8).uniform(-0.1, 0.1, (1, 8000 * seconds))
        path = save(tmp_path / "a.wav", noise.astype(np.float32), 8000)
        del noise
        tracemalloc.start()
        normalise_file(path, tmp_path / "out.wav", -20.0)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_refusals(tmp_path: Path) -> None:
    source = save(tmp_path / "a.wav", np.zeros((1, 320), np.float32))
    wide = save(tmp_path / "wide.wav", np.zeros((3, 320), np.float32))
    with pytest.raises(ParameterError, match="-70 to 0"):
        normalise_file(source, tmp_path / "out.wav", 3.0)
    with pytest.raises(ParameterError, match="-40 to 0"):
        normalise_file(source, tmp_path / "out.wav", -14.0, ceiling_dbtp=math.nan)
    with pytest.raises(ParameterError, match="1 or 2"):
        measure_file(wide)
    with pytest.raises(ParameterError, match="4000 or more"):
        LoudnessMeter(2000, 1)
    with pytest.raises(AudioFileError, match="does not exist"):
        normalise_file(tmp_path / "missing.wav", tmp_path / "out.wav", -14.0)
