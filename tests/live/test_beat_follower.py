"""The lock over a stand-in's drums: what goes in is off the beat, what comes out is on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.evaluate.beatlock_drums import RATE_HZ, DrumLoop, ambient
from musicgen_rt.live.bar_phase import MOST_BARS
from musicgen_rt.live.beat_follower import BeatFollower
from musicgen_rt.live.beat_listener import BeatListener

HOP = 640
CHUNK = 1600


class Line:
    """A follower and all that it gave, by session sample: later samples replace earlier ones."""

    def __init__(self, asked: Timeline, grid: Timeline, *, is_told: bool = False) -> None:
        self.follower = BeatFollower(RATE_HZ, 1, HOP, is_told=is_told)
        self.asked, self.grid = asked, grid
        self.out = np.zeros((1, 0), np.float32)

    def push(self, samples: NDArray[np.float32]) -> None:
        for first in range(0, samples.shape[1], CHUNK):
            at = self.follower.map.session_end
            made = self.follower.push(samples[:, first : first + CHUNK], self.asked, self.grid)
            self.out = np.concatenate([self.out[:, :at], made], axis=1)
            assert self.out.shape[1] == self.follower.map.session_end

    def errors_ms(self, loop: DrumLoop, first_seconds: float, end_seconds: float) -> Any:
        """How late the loop's beats between two times are heard, by the map."""
        errors = []
        for seconds in loop.beat_times(end_seconds):
            sample = seconds * RATE_HZ
            if first_seconds <= seconds < end_seconds and sample < self.follower.map.stream_end:
                frame = self.follower.map.to_session(sample) / HOP
                beat = self.grid.beat_at(frame)
                errors.append(60_000 * (beat - round(beat)) / self.grid.bpm_at(frame))
        assert errors
        return np.abs(errors)


@pytest.mark.parametrize(
    ("bpm", "faults"),
    [
        (90.0, {"drift": 0.02, "kit": "house"}),
        (120.0, {"drift": -0.02, "start_seconds": 0.17}),
        (128.0, {"wander": 0.02}),
        (174.0, {"drift": 0.01, "swing_beats": 0.12, "jitter_seconds": 0.005}),
    ],
)
def test_drums_that_are_off_are_brought_onto_the_beat(bpm: float, faults: dict[str, Any]) -> None:
    loop = DrumLoop(bpm=bpm, **faults)
    line = Line(Timeline.start(bpm), Timeline.start(bpm))
    line.push(loop.render(24.0))
    errors = line.errors_ms(loop, 10.0, 24.0)
    assert np.median(errors) <= 15
    assert np.percentile(errors, 95) <= 40
    rates = [one.rate for one in line.follower.map.stretches]
    assert 0.94 - 1e-3 <= min(rates) <= max(rates) <= 1.06 + 1e-3
    assert np.abs(np.diff(rates)).max() < 0.014, "smoothly"
    left_alone = Line(Timeline.start(bpm), Timeline.start(bpm))
    left_alone.follower.is_on = False
    left_alone.push(loop.render(24.0))
    assert np.percentile(left_alone.errors_ms(loop, 10.0, 24.0), 95) > 40 or "drift" not in faults


def test_music_without_beats_is_left_alone() -> None:
    samples = ambient(12.0)
    line = Line(Timeline.start(120.0), Timeline.start(120.0))
    line.push(samples)
    assert (line.out == samples).all()
    assert line.follower.report().state == "searching"
    assert line.follower.report().confidence < 0.1


@pytest.mark.parametrize("is_on", [True, False])
def test_what_is_on_the_beat_or_not_to_be_locked_passes_bit_by_bit(is_on: bool) -> None:
    samples = DrumLoop(drift=0.0 if is_on else 0.02).render(12.0)
    line = Line(Timeline.start(120.0), Timeline.start(120.0), is_told=is_on)
    line.follower.is_on = is_on
    line.push(samples)
    assert (line.out == samples).all()
    assert line.follower.report().state == ("locked" if is_on else "off")


def test_a_model_that_is_told_the_beats_is_trimmed_only() -> None:
    loop = DrumLoop(start_seconds=0.03)
    line = Line(Timeline.start(120.0), Timeline.start(120.0), is_told=True)
    line.push(loop.render(14.0))
    assert np.median(line.errors_ms(loop, 0.5, 2.0)) > 25
    assert np.percentile(line.errors_ms(loop, 6.0, 14.0), 95) <= 12


def test_it_locks_again_after_a_disturbance() -> None:
    first, second = DrumLoop(drift=0.01), DrumLoop(drift=0.01, start_seconds=0.21)
    line = Line(Timeline.start(120.0), Timeline.start(120.0))
    samples = np.concatenate([first.render(12.0), second.render(28.0)[:, 12 * RATE_HZ :]], axis=1)
    line.push(samples)
    assert np.percentile(line.errors_ms(first, 6.0, 12.0), 95) <= 15
    assert np.percentile(line.errors_ms(second, 22.0, 28.0), 95) <= 15
    assert line.follower.lock.relocks == 1


def test_a_tempo_step_stretches_what_goes_on_at_the_old_tempo() -> None:
    loop = DrumLoop(bpm=120.0)
    asked = Timeline.start(120.0)
    grid = asked.with_tempo(400, bpm=126.0)  # after 8 s
    line = Line(asked, grid)
    line.push(loop.render(24.0))
    assert np.percentile(line.errors_ms(loop, 16.0, 24.0), 95) <= 15
    assert line.follower.report().rate == pytest.approx(1.05, abs=0.005)


def test_going_back_gives_the_same_places_again() -> None:
    loop = DrumLoop(drift=0.02)
    samples = loop.render(16.0)
    there, back = (Line(Timeline.start(120.0), Timeline.start(120.0)) for _ in range(2))
    there.push(samples)
    cut = 10 * RATE_HZ + 321
    back.push(samples[:, : 12 * RATE_HZ])
    back.follower.rewind(cut)
    back.push(samples[:, cut:])
    assert abs(back.out.shape[1] - there.out.shape[1]) <= 64
    assert np.percentile(back.errors_ms(loop, 8.0, 16.0), 95) <= 15


def test_switched_on_late_it_begins_to_listen_there_and_then() -> None:
    loop = DrumLoop(drift=0.02)
    samples = loop.render(20.0)
    line = Line(Timeline.start(120.0), Timeline.start(120.0))
    line.follower.is_on = False
    line.push(samples[:, : 6 * RATE_HZ])
    line.follower.is_on = True
    line.push(samples[:, 6 * RATE_HZ :])
    assert (line.out[:, : 6 * RATE_HZ] == samples[:, : 6 * RATE_HZ]).all()
    assert np.percentile(line.errors_ms(loop, 14.0, 20.0), 95) <= 15


def test_what_is_made_already_is_stretched_to_a_new_tempo() -> None:
    loop, asked = DrumLoop(bpm=120.0), Timeline.start(120.0)
    line = Line(asked, asked, is_told=True)
    line.push(loop.render(6.0))
    grid = asked.with_tempo(150, bpm=124.0)  # after 3 s, of which 6 are made
    again = line.follower.warp_again(150 * HOP, asked, grid)
    end = line.follower.map.session_end
    assert line.follower.map.stretches[-1].rate == pytest.approx(124 / 120, abs=0.002)
    assert end - again.shape[1] == 150 * HOP
    beats = grid.beat_at(line.follower.map.to_session(5 * RATE_HZ) / HOP)
    assert beats == pytest.approx(10.0, abs=0.06), "beat 10 of the drums, about on the new beat"


def test_each_beat_is_compared_with_the_bar_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    beats_since = BeatListener.beats_since

    def counted(*args: Any) -> Iterator[tuple[float, float]]:
        looks.append(0)
        for beat in beats_since(*args):
            looks[-1] += 1
            yield beat

    monkeypatch.setattr(BeatListener, "beats_since", counted)
    line = Line(Timeline.start(120.0), Timeline.start(120.0))
    line.push(DrumLoop().render(40.0))
    # What is not mapped yet is looked at in vain: a beat or two.
    assert 10 < len(looks) <= 80
    assert 0 < max(looks) <= 4 * MOST_BARS + 2
