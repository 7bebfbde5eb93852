"""Faults that the playout lives through, on its offline twin: all time is virtual."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from scipy.signal import resample_poly

from tests.bridge.playout.twin import (
    BAR_SAMPLES,
    RATE_HZ,
    Signal,
    TwinOutput,
    VirtualClock,
    assert_invariant_v,
    sine,
    twin,
)

OUT_HZ = 48000
TONE = sine(220)


def _spoilt(kind: str, first: int, end: int) -> Signal:
    """The tone, and between two samples something else."""

    def signal(sample: NDArray[np.int64]) -> NDArray[np.float64]:
        tone = TONE(sample)
        bad = {
            "nan": np.full(len(tone), np.nan),
            "inf": np.full(len(tone), np.inf),
            "dc": tone + 0.9,
            "+40 dB": 100 * tone,
            "+12 dB": 4 * tone,
        }[kind]
        return np.where((sample >= first) & (sample < end), bad, tone)

    return signal


@pytest.mark.parametrize("kind", ["nan", "inf", "dc", "+40 dB", "+12 dB"])
def test_f07_spoilt_audio_never_reaches_the_output(kind: str) -> None:
    """For a third of a second in the third bar, then sound again."""
    first = 2 * BAR_SAMPLES + 5000
    with twin(_spoilt(kind, first, first + 10_000)) as t:
        t.run(8)
        heard = t.heard[1000:]
    # An offset that sets in is a step of the engine's own.
    assert_invariant_v(heard, max_step=1.0 if kind in ("dc", "+12 dB") else 0.1, max_hole=20)
    assert 20 * np.log10(np.abs(resample_poly(heard, 4, 1, axis=0)).max()) <= -1.0 + 1e-3
    is_refused = kind not in ("dc", "+12 dB")
    assert [m["is_on"] for m in t.said("fallback")] == ([True, False] if is_refused else [])
    assert t.said("heartbeat")[-1]["bad_chunks"] == (1 if is_refused else 0)
    assert bool(t.said("warning")) == is_refused
    settled = heard[-OUT_HZ:]
    assert abs(settled.mean()) < 1e-3
    assert np.abs(settled).max() == pytest.approx(0.5, abs=0.02)


def test_f07_a_lasting_offset_is_blocked() -> None:
    with twin(_spoilt("dc", 0, 10**9)) as t:
        t.run(3)
        settled = t.heard[2 * OUT_HZ :]
    assert abs(settled.mean()) < 1e-3
    assert_invariant_v(settled, max_step=0.05, max_hole=2)


def test_f07_audio_that_stays_spoilt_is_looped_away_for_good() -> None:
    with twin(_spoilt("+40 dB", BAR_SAMPLES + 100, 10**9)) as t:
        t.run(8)
        heard = t.heard[1000:]
    assert_invariant_v(heard, max_step=0.1, max_hole=20)
    assert [m["is_on"] for m in t.said("fallback")] == [True]


def test_f07_without_a_good_bar_spoilt_audio_is_muted() -> None:
    with twin(_spoilt("+40 dB", 0, 10**9)) as t:
        t.run(2)
        # But for the few samples before the first that is absurd.
        assert np.abs(t.heard).max() < 0.001
        assert t.said("warning")


@pytest.mark.parametrize("rate_hz", [32000, 44100, 48000, 96000])
@pytest.mark.parametrize("block_frames", [64, 1024])
def test_f12_another_rate_or_block_size_does_not_change_the_pitch(
    rate_hz: int, block_frames: int
) -> None:
    def output(clock: VirtualClock) -> TwinOutput:
        return TwinOutput(clock, rate_hz=rate_hz, block_frames=block_frames)

    with twin(TONE, output=output) as t:
        t.run(1.5)
        heard = t.heard[rate_hz // 2 :]
    assert_invariant_v(heard, max_step=0.05, max_hole=4)
    spectrum = np.abs(np.fft.rfft(heard[:, 0] * np.hanning(len(heard))))
    assert spectrum.argmax() * rate_hz / len(heard) == pytest.approx(220, abs=rate_hz / len(heard))
    assert t.buffer.snapshot().underruns == 0


@pytest.mark.parametrize("ppm", [-200.0, 200.0])
def test_f15_a_device_whose_clock_is_off_is_kept_to_the_host_s(ppm: float) -> None:
    """In 40 s it would be off by 8 ms; the correction must not be heard."""

    def output(clock: VirtualClock) -> TwinOutput:
        return TwinOutput(clock, ppm=ppm, block_frames=256)

    offsets = []
    with twin(TONE, output=output, pace="host") as t:
        t.run(4)
        for _ in range(36):
            t.run(1)
            seen = t.buffer.snapshot()
            assert seen.dac_sample is not None and seen.dac_time_ns is not None
            offsets.append(seen.dac_sample - seen.dac_time_ns * 1e-9 * RATE_HZ)
        heard = t.heard[10_000:]
    drift_seconds = np.ptp(offsets) / RATE_HZ
    assert drift_seconds < 0.001
    assert np.ptp(offsets[-10:]) / RATE_HZ < 0.0003
    curvature = 0.5 * (2 * np.pi * 220 / OUT_HZ) ** 2
    assert np.abs(np.diff(heard[:, 0], 2)).max() < 1.2 * curvature
    assert t.said("heartbeat")[-1]["drift_ppm"] == pytest.approx(ppm, abs=40)


def test_f15_without_pacing_the_offset_grows() -> None:
    """The test above can fail."""
    with twin(TONE, output=lambda clock: TwinOutput(clock, ppm=200.0)) as t:
        t.run(2)
        first = t.buffer.snapshot()
        t.run(10)
        last = t.buffer.snapshot()
    assert first.dac_sample and last.dac_sample and first.dac_time_ns and last.dac_time_ns
    host_seconds = (last.dac_time_ns - first.dac_time_ns) * 1e-9
    ahead_seconds = (last.dac_sample - first.dac_sample) / RATE_HZ - host_seconds
    assert ahead_seconds == pytest.approx(0.002, abs=0.0005)


def test_f13_a_pump_that_pauses_for_20_ms_is_not_heard() -> None:
    with twin(TONE) as t:
        t.run(0.5)
        for _ in range(10):
            t.clock.advance(0.020)
            t.run(0.1)
        assert_invariant_v(t.heard[1000:], max_step=0.02, max_hole=2)
        assert t.buffer.snapshot().underruns == 0


def test_f43_after_a_suspend_nothing_bursts() -> None:
    """The clock jumps by an hour: the playhead does not."""
    with twin(TONE) as t:
        t.run(1)
        before = t.buffer.snapshot().reader_sample
        written = t.output.written
        t.clock.advance(3600)
        t.run(1)
        after = t.buffer.snapshot()
        assert t.output.written - written < 1.2 * OUT_HZ
    assert after.reader_sample - before < 1.2 * RATE_HZ
    assert after.underruns == 1
    assert t.said("underrun") == [{"type": "underrun", "count": 1}]


def test_f39_a_full_disk_ends_the_recording_and_not_the_music(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "take.wav"
    real_write = soundfile.SoundFile.write
    written: list[int] = []

    def write(self: soundfile.SoundFile, samples: NDArray[np.float32]) -> None:
        if sum(written) > OUT_HZ // 2:
            raise soundfile.LibsndfileError(2)
        written.append(len(samples))
        real_write(self, samples)

    monkeypatch.setattr(soundfile.SoundFile, "write", write)
    with twin(TONE) as t:
        t.send(type="record", id=1, path=str(path))
        deadline = time.monotonic() + 30
        while len(t.said("recording")) < 2 and time.monotonic() < deadline:
            t.run(0.1)
        assert_invariant_v(t.heard[1000:], max_step=0.02, max_hole=2)
    _, ended = t.said("recording")
    assert ended["error"] and not ended["is_on"]
    samples, _ = soundfile.read(path)
    assert len(samples) == ended["samples"] == sum(written)
