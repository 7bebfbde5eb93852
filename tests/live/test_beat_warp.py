"""Stretching: exact counts, the same pitch, no seams, and nothing at all where the rate is 1."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from musicgen_rt.live.beat_map import BeatMap
from musicgen_rt.live.beat_source import SourceHistory
from musicgen_rt.live.beat_warp import Overlap, Warp

RATE_HZ = 32_000
PIECE = 6400


def warped(samples: NDArray[np.float32], rates: list[float]) -> tuple[NDArray[np.float32], BeatMap]:
    """Pieces of `PIECE` stream samples, each at its rate, from one warp."""
    warp = Warp(RATE_HZ, len(samples))
    source = SourceHistory(len(samples), samples.shape[1])
    source.append(samples)
    places, parts = BeatMap(0, 0), []
    before: Overlap | None = None
    for rate in rates:
        count = PIECE if rate == 1 else round(PIECE / rate)
        place = BeatMap(places.stream_end, places.session_end).with_stretch(PIECE, count)
        places = places.with_stretch(PIECE, count)
        part, before = warp.piece(source, place.stretches[0], before)
        parts.append(part)
    return np.concatenate(parts, axis=1), places


def tone(hz: float, seconds: float) -> NDArray[np.float32]:
    time = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return (0.4 * np.sin(2 * np.pi * hz * time))[None].astype(np.float32)


def test_plain_pieces_are_the_samples_themselves() -> None:
    samples = np.random.default_rng(0).standard_normal((2, 10 * PIECE)).astype(np.float32)
    out, places = warped(samples, [1.0] * 8)
    assert (out == samples[:, : 8 * PIECE]).all()
    assert len(places.stretches) == 1


@pytest.mark.parametrize("rate", [0.94, 0.98, 1.01, 1.06])
def test_pitch_and_level_stay_and_every_sample_is_counted(rate: float) -> None:
    out, places = warped(tone(440.0, 4.0), [rate] * 18)
    assert out.shape[1] == places.session_end == 18 * round(PIECE / rate)
    assert places.stream_end == 18 * PIECE
    middle = out[0, RATE_HZ // 2 : -RATE_HZ // 2]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 1 << 19))
    assert spectrum.argmax() * RATE_HZ / (1 << 19) == pytest.approx(440.0, abs=1.0)
    blocks = middle[: len(middle) // 1280 * 1280].reshape(-1, 1280)
    levels = np.sqrt(np.square(blocks).mean(axis=1))
    assert levels.min() > 0.8 * 0.4 / np.sqrt(2), "no dip where pieces join"
    assert levels.max() < 1.2 * 0.4 / np.sqrt(2)


def test_there_is_no_click_when_stretching_begins_changes_and_ends() -> None:
    rates = [1.0, 1.0, 1.02, 1.06, 1.03, 1.0, 1.0, 0.97, 0.94, 0.98, 1.0, 1.0]
    samples = tone(330.0, 3.0)
    out, _ = warped(samples, rates)
    assert np.abs(np.diff(out[0])).max() < 1.3 * np.abs(np.diff(samples[0])).max()


def test_attacks_land_where_the_map_says() -> None:
    samples = np.zeros((1, 30 * PIECE), np.float32)
    rng = np.random.default_rng(2)
    samples += 1e-4 * rng.standard_normal(samples.shape).astype(np.float32)
    decay = np.exp(-np.arange(1600) / 250) * np.sin(np.arange(1600) * 0.3)
    attacks = np.arange(5000, 24 * PIECE, 9871)
    for at in attacks:
        samples[0, at : at + 1600] += decay.astype(np.float32)
    out, places = warped(samples, [1.0, 1.03, 1.05, 1.05, 0.99, 0.95, 0.95, 1.0] * 3)
    for at in attacks[:-1]:
        expected = round(places.to_session(float(at)))
        near = np.abs(out[0, expected - 640 : expected + 640])
        first = int(np.argmax(near > 0.3 * near.max())) - 640
        assert abs(first) <= 0.005 * RATE_HZ, f"the attack at {at} is {first} samples off"


def test_the_map_has_an_inverse_and_can_be_cut() -> None:
    places = BeatMap(1000, 5000)
    for stream, session in ((640, 640), (6400, 6100), (6400, 6700), (1280, 1280), (640, 640)):
        places = places.with_stretch(stream, session)
    for sample in range(0, 20_000, 37):
        assert places.to_stream(places.to_session(sample)) == pytest.approx(sample, abs=1e-6)
    assert places.to_session(1000) == 5000
    assert places.to_session(1640) == 5640
    assert places.to_session(places.stream_end + 10) == places.session_end + 10
    cut = places.cut(1000 + 640 + 6400 + 100)
    assert cut.stream_end == 1000 + 640 + 6400
    assert cut.session_end == 5000 + 640 + 6100
    plain = places.cut(places.stream_end - 700)
    assert plain.stream_end == places.stream_end - 700
    assert plain.session_end == places.session_end - 700
    kept = places.forget_before(1000 + 640 + 6400)
    assert kept.to_session(12_000) == places.to_session(12_000)
