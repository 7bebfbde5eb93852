"""Listening: where beats are heard, against drums whose beats are known; nothing where none are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from musicgen_rt.evaluate.beatlock_drums import RATE_HZ, DrumLoop, ambient
from musicgen_rt.live.beat_comb import BeatReading, read_beats
from musicgen_rt.live.beat_onsets import OnsetStrength
from musicgen_rt.live.beat_source import SourceHistory

HOPS_A_SECOND = 100


def reading_of(samples: np.ndarray, bpm: float, beats: float = 6.0) -> tuple[BeatReading, float]:
    """What is read of the end of samples, and the time at which the reading ends."""
    source, onsets = SourceHistory(1, samples.shape[1]), OnsetStrength(RATE_HZ)
    for first in range(0, samples.shape[1], 1920):
        source.append(samples[:, first : first + 1920])
        onsets.follow(source)
    hops = np.arange(onsets.end_hop - round(beats * 60 / bpm * HOPS_A_SECOND), onsets.end_hop)
    seconds = onsets.seconds_of(hops)
    reading = read_beats(onsets.strengths(int(hops[0]), onsets.end_hop), seconds * bpm / 60)
    return reading, float(seconds[-1])


@pytest.mark.parametrize("bpm", [90.0, 120.0, 174.0])
@pytest.mark.parametrize(
    "faults",
    [
        {"kit": "house", "start_seconds": 0.11},
        {"drift": 0.02},
        {"drift": -0.03, "kit": "house"},
        {"swing_beats": 0.14},
        {"jitter_seconds": 0.006, "drift": -0.01},
    ],
    ids=" ".join,
)
def test_it_hears_where_the_beats_are(bpm: float, faults: dict[str, Any]) -> None:
    loop = DrumLoop(bpm=bpm, **faults)
    reading, end_seconds = reading_of(loop.render(8.0), bpm)
    times = loop.beat_times(10.0)
    truly = np.interp(end_seconds, times, np.arange(len(times)))
    wrong_beats = reading.ahead_beats - (truly - end_seconds * bpm / 60)
    wrong_beats -= round(wrong_beats)
    jitter_seconds = faults.get("jitter_seconds", 0.0)
    assert abs(wrong_beats) * 60 / bpm <= 0.006 + 1.5 * jitter_seconds
    assert reading.tempo_error == pytest.approx(faults.get("drift", 0.0), abs=0.004)
    assert reading.confidence > 0.8


def test_it_tells_how_much_lies_where_beats_were_expected() -> None:
    """Without a belief that is on the clock's own beats: the further off, the less of it."""
    supports = [
        reading_of(DrumLoop(kit="click", start_seconds=late).render(8.0), 120.0)[0].support
        for late in (0.0, 0.02, 0.05, 0.25)
    ]
    assert supports == sorted(supports, reverse=True)
    assert supports[0] > 0.7
    assert supports[-1] < 0.1


@pytest.mark.parametrize("seed", range(3))
def test_it_hears_no_beats_where_there_are_none(seed: int) -> None:
    noise = 0.1 * np.random.default_rng(seed).standard_normal((1, 8 * RATE_HZ))
    for samples in (ambient(8.0, seed), noise.astype(np.float32), np.zeros((1, 8 * RATE_HZ))):
        assert reading_of(samples.astype(np.float32), 120.0)[0].confidence < 0.1


def test_onsets_at_random_places_are_no_beats() -> None:
    rng = np.random.default_rng(5)
    click = DrumLoop(kit="click").render(1.0)[0, :640]
    samples = np.zeros((1, 8 * RATE_HZ), np.float32)
    for at in rng.integers(0, samples.shape[1] - 640, 24):
        samples[0, at : at + 640] += click
    assert reading_of(samples, 120.0)[0].confidence < 0.5


def test_chunks_do_not_change_what_is_heard_and_cuts_are_heard_again() -> None:
    samples = DrumLoop().render(3.0)
    whole, pieces = (SourceHistory(1, samples.shape[1]) for _ in range(2))
    at_once, in_pieces = OnsetStrength(RATE_HZ), OnsetStrength(RATE_HZ)
    whole.append(samples)
    at_once.follow(whole)
    for first in range(0, samples.shape[1], 777):
        pieces.append(samples[:, first : first + 777])
        in_pieces.follow(pieces)
        if first == 777 * 60:
            pieces.begin(777 * 30)
            in_pieces.cut(pieces)
            pieces.append(samples[:, 777 * 30 : first + 777])
            in_pieces.follow(pieces)
    assert in_pieces.end_hop == at_once.end_hop
    heard = [one.strengths(0, at_once.end_hop) for one in (at_once, in_pieces)]
    assert heard[0].max() > 5
    np.testing.assert_allclose(heard[1], heard[0], atol=1e-6)
