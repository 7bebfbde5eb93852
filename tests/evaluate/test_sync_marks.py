"""Marks in a recording are found where they were put, by a signal made here."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import windows

from musicgen_rt.evaluate import sync_marks
from musicgen_rt.evaluate.sync_music import CLICK_HZ, TONE_HZ, TONE_LEVEL


def tone(seconds: float, rate_hz: int) -> NDArray[np.float32]:
    at = np.arange(round(seconds * rate_hz))
    return (TONE_LEVEL * np.sin(2 * np.pi * TONE_HZ / rate_hz * at + 0.3)).astype(np.float32)


def ramp(count: int) -> NDArray[np.float64]:
    """From 0 to 1 as a raised cosine."""
    return np.asarray(windows.hann(2 * count + 1)[:count])


@pytest.mark.parametrize("rate_hz", [44100, 48000])
def test_clicks_and_their_pitch_are_found(rate_hz: int) -> None:
    samples = tone(2.0, rate_hz)
    places = [round(0.3 * rate_hz) + 3, round(0.9 * rate_hz), round(1.5 * rate_hz) + 1]
    for number, at in enumerate(places):
        count = round(0.002 * rate_hz)
        hz = CLICK_HZ[number % 2]
        wave = 0.5 * np.cos(2 * np.pi * hz / rate_hz * np.arange(count))
        samples[at : at + count] += wave.astype(np.float32)
    found = sync_marks.clicks(samples, rate_hz)
    assert np.allclose(found, places, atol=2)
    assert [sync_marks.click_pitch(samples, at, rate_hz) for at in found] == [0, 1, 0]


def test_no_click_is_found_in_a_tone() -> None:
    assert sync_marks.clicks(tone(1.0, 44100), 44100) == []


@pytest.mark.parametrize("rate_hz", [44100, 48000])
def test_a_mute_is_found_where_its_ramp_begins(rate_hz: int) -> None:
    count, at = round(0.010 * rate_hz), round(0.7 * rate_hz)
    down = np.ones(2 * rate_hz)
    down[at : at + count] = 1 - ramp(count)
    down[at + count :] = 0
    muted = sync_marks.mute((tone(2.0, rate_hz) * down).astype(np.float32), rate_hz, is_on=True)
    opened = sync_marks.mute(
        (tone(2.0, rate_hz) * (1 - down)).astype(np.float32), rate_hz, is_on=False
    )
    assert muted is not None and opened is not None
    assert abs(muted - at) / rate_hz < 0.001
    assert abs(opened - at) / rate_hz < 0.001


def test_start_and_stop_are_found() -> None:
    rate_hz = 48000
    samples = np.concatenate([np.zeros(rate_hz, np.float32), tone(1.0, rate_hz)])
    started = sync_marks.first_sound(samples, rate_hz)
    assert started is not None
    assert abs(started - rate_hz) < 0.0005 * rate_hz
    stopped = sync_marks.last_sound(samples[::-1].copy(), rate_hz)
    assert stopped is not None
    assert abs(stopped - rate_hz) < 0.0005 * rate_hz


def test_what_never_changes_has_no_mark() -> None:
    steady = tone(1.0, 48000)
    assert sync_marks.mute(steady, 48000, is_on=True) is None
    assert sync_marks.first_sound(steady, 48000) is None
    assert sync_marks.last_sound(steady, 48000) is None
