"""Clips as audio: the same for the same seed, clean, level, and never alike."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable

import librosa
import numpy as np
import pyloudnorm
import pytest

from musicgen_rt.errors import ParameterError
from musicgen_rt.train.music import Clip, generate_clip

RATE_HZ = 32000


def test_same_seed_same_bytes_whatever_came_before() -> None:
    first = generate_clip(11, 4.0)
    generate_clip(12, 1.0)
    second = generate_clip(11, 4.0)
    assert first.samples.tobytes() == second.samples.tobytes()
    assert first.truth == second.truth


def test_another_process_makes_the_same_bytes() -> None:
    """With another hash seed: no result may hang on the order of a set."""
    code = (
        "import hashlib; from musicgen_rt.train.music import generate_clip; "
        "print(hashlib.sha256(generate_clip(21, 2.0).samples.tobytes()).hexdigest())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONHASHSEED": "77"},
        capture_output=True,
        text=True,
        check=True,
    )
    ours = hashlib.sha256(generate_clip(21, 2.0).samples.tobytes()).hexdigest()
    assert run.stdout.strip() == ours


def test_samples_are_float32_finite_and_inside_full_scale(short_clips: list[Clip]) -> None:
    for clip in short_clips:
        assert clip.samples.dtype == np.float32
        assert clip.samples.shape == (3 * RATE_HZ,)
        assert np.isfinite(clip.samples).all()
        assert 0.01 < np.abs(clip.samples).max() < 1.0, clip.truth.seed


def test_no_dc_and_silent_edges(short_clips: list[Clip]) -> None:
    for clip in short_clips:
        rms = float(np.sqrt(np.mean(clip.samples**2)))
        assert abs(float(np.mean(clip.samples, dtype=np.float64))) < 0.01 * rms
        assert abs(float(clip.samples[0])) < 0.01
        assert abs(float(clip.samples[-1])) < 0.01


def test_loudness_varies_from_soft_to_loud(short_clips: list[Clip]) -> None:
    meter = pyloudnorm.Meter(RATE_HZ)
    loudness = np.array([meter.integrated_loudness(clip.samples) for clip in short_clips])
    assert loudness.min() > -30.0
    assert loudness.max() < -6.0
    assert np.std(loudness) > 2.5


def test_timbre_and_dynamics_vary(short_clips: list[Clip]) -> None:
    centroids = [
        float(np.mean(librosa.feature.spectral_centroid(y=clip.samples, sr=RATE_HZ)))
        for clip in short_clips
    ]
    crests = [
        float(np.abs(clip.samples).max() / np.sqrt(np.mean(clip.samples**2)))
        for clip in short_clips
    ]
    assert np.percentile(centroids, 90) > 4 * np.percentile(centroids, 10)
    assert np.percentile(crests, 90) > 1.6 * np.percentile(crests, 10)


def test_no_two_clips_sound_alike(short_clips: list[Clip]) -> None:
    features = []
    for clip in short_clips:
        mel = librosa.feature.melspectrogram(y=clip.samples, sr=RATE_HZ, n_mels=40)
        profile = librosa.power_to_db(mel, ref=np.max)
        features.append(np.concatenate([profile.mean(axis=1), profile.std(axis=1)]))
    table = np.array(features)
    distance = np.abs(table[:, None] - table[None]).mean(axis=2)
    np.fill_diagonal(distance, np.inf)
    assert distance.min() > 0.7


def test_another_rate_is_the_same_music() -> None:
    low = generate_clip(5, 3.0, rate_hz=16000)
    high = generate_clip(5, 3.0, rate_hz=32000)
    assert low.samples.shape == (48000,)
    assert low.truth == high.truth


def test_numpy_arguments_are_taken() -> None:
    clip = generate_clip(np.int64(5), np.float32(1.0))  # type: ignore[arg-type]
    assert clip.truth == generate_clip(5, 1.0).truth
    assert clip.truth.to_json()


def test_seed_has_one_style_tempo_and_key_at_any_length() -> None:
    for seed in range(20):
        short, long = generate_clip(seed, 1.0).truth, generate_clip(seed, 6.0).truth
        assert (short.style, short.bpm, short.key_name) == (long.style, long.bpm, long.key_name)


@pytest.mark.parametrize(
    ("seed", "seconds", "rate_hz"), [(-1, 3.0, 32000), (0, 0.1, 32000), (0, 3.0, 8000)]
)
def test_bad_arguments_are_refused(seed: int, seconds: float, rate_hz: int) -> None:
    with pytest.raises(ParameterError, match="expected"):
        generate_clip(seed, seconds, rate_hz)


def test_thirty_second_clips_report_their_speed(
    record_property: Callable[[str, object], None],
) -> None:
    started = time.process_time()
    clips = [generate_clip(seed) for seed in range(100, 106)]
    spent_seconds = time.process_time() - started
    record_property("times_real_time", round(sum(c.truth.seconds for c in clips) / spent_seconds))
    assert all(len(clip.samples) == 30 * RATE_HZ for clip in clips)
