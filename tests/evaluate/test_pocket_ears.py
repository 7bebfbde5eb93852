"""What an ear would object to: each fault, made on purpose, shows in its own figure."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal

from musicgen_rt.evaluate.pocket_ears import ear_figures
from musicgen_rt.evaluate.pocket_endless import (
    RepeatCounter,
    bar_figures,
    pitch_class_entropy_bits,
)
from musicgen_rt.evaluate.pocket_pieces import RATE_HZ, Samples, Take
from tests.evaluate.music import request, tone

_SECONDS = 4.0


@pytest.fixture(scope="module")
def sound() -> Samples:
    """Noise and a tone: all bands alive, nothing wrong."""
    noise = np.random.default_rng(1).standard_normal(round(_SECONDS * RATE_HZ)) * 0.05
    return (noise + tone(69.3, _SECONDS)).astype(np.float32)


def test_sound_material_has_no_fault(sound: Samples) -> None:
    figures = ear_figures(sound, RATE_HZ, 50)
    assert figures.clipped_share == 0 and figures.dead_bands == 0
    assert figures.dc_db < -40
    assert figures.frame_line_mean_db < 2 and figures.zipper_db < 6
    assert figures.stutter_share == 0 and figures.longest_silence_seconds == 0


def test_clipping(sound: Samples) -> None:
    figures = ear_figures(np.clip(sound * 8, -1, 1), RATE_HZ, 50)
    assert figures.clipped_share > 0.1 and figures.longest_clip_samples > 5


def test_dc(sound: Samples) -> None:
    assert ear_figures(sound + np.float32(0.1), RATE_HZ, 50).dc_db > -10


def test_lines_at_multiples_of_the_frame_rate(sound: Samples) -> None:
    times = np.arange(len(sound)) / RATE_HZ
    hum = sum(0.003 * np.sin(2 * np.pi * 50 * k * times) for k in range(20, 300))
    figures = ear_figures((sound + hum).astype(np.float32), RATE_HZ, 50)
    assert figures.frame_line_mean_db > 3


def test_flutter_at_the_frame_rate(sound: Samples) -> None:
    times = np.arange(len(sound)) / RATE_HZ
    flutter = 1 + 0.3 * np.sin(2 * np.pi * 50 * times)
    assert ear_figures((sound * flutter).astype(np.float32), RATE_HZ, 50).zipper_db > 12


def test_dead_treble(sound: Samples) -> None:
    sections = scipy.signal.butter(16, 3000, fs=RATE_HZ, output="sos")
    dull = scipy.signal.sosfilt(sections, sound).astype(np.float32)
    assert ear_figures(dull, RATE_HZ, 50).dead_bands > 10


def test_stutter_and_silence(sound: Samples) -> None:
    stuck = sound.copy()
    frame = stuck[32000:33280]
    stuck[32000:64000] = np.resize(frame, 32000)
    stuck[96000:112000] = 0
    figures = ear_figures(stuck, RATE_HZ, 50)
    assert figures.longest_stutter_seconds == pytest.approx(0.96, abs=0.05)
    assert figures.longest_silence_seconds == pytest.approx(0.5, abs=0.05)


def test_bars_that_fall_silent_or_grow_loud() -> None:
    steady = tone(57, 16.0)
    assert bar_figures(Take(request(seconds=16.0), steady))["bars_within_6_db"] == 1.0
    broken = steady.copy()
    broken[2 * 64000 : 3 * 64000] *= 3.0
    broken[4 * 64000 : 5 * 64000] = 0.0
    figures = bar_figures(Take(request(seconds=16.0), broken))
    assert figures["bars"] == 8 and figures["silent_bars"] == 1
    assert figures["bars_within_6_db"] == 0.75


def test_entropy_of_pitch_classes() -> None:
    one = pitch_class_entropy_bits(tone(69, 4.0), RATE_HZ)
    chromatic = np.concatenate([tone(60 + pitch, 0.5) for pitch in range(12)])
    assert one < 1.2
    assert pitch_class_entropy_bits(chromatic, RATE_HZ) > 3.3


def test_counts_what_has_been_there_before() -> None:
    rng = np.random.default_rng(2)
    fresh, counter = rng.integers(0, 1024, 400), RepeatCounter(50)
    counter.feed(fresh[:200])
    counter.feed(fresh[200:])
    assert counter.share == 0.0
    counter.feed(fresh)
    assert counter.share == pytest.approx(351 / 751)
