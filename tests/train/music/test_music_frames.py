"""Frame labels against the engine's own timeline, and against the truth's notes and bars."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.train.music import Clip, frame_labels, generate_clip

FRAMES = 150


def _phase_distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The distance on the circle: 0.999 is near 0."""
    distance = np.abs(first - second) % 1.0
    return np.minimum(distance, 1.0 - distance)


def test_phases_are_those_of_the_engines_timeline(short_clips: list[Clip]) -> None:
    for clip in short_clips[:25]:
        truth = clip.truth
        if not truth.has_steady_tempo:
            continue
        beat_now = -truth.grid.edges_seconds[0] * truth.bpm / 60.0
        timeline = Timeline.start(truth.bpm, truth.beats_per_bar, beat=beat_now)
        clock = [timeline.clock_at(frame) for frame in range(FRAMES)]
        labels = frame_labels(truth, FRAMES)
        bar_phase = np.array([point.bar_phase for point in clock])
        beat_phase = np.array([point.beat_phase for point in clock])
        assert _phase_distance(labels.bar_phase, bar_phase).max() < 1e-4
        assert _phase_distance(labels.beat_phase, beat_phase).max() < 1e-4
        np.testing.assert_allclose(labels.bpm, truth.bpm, rtol=1e-5)
        assert set(labels.beats_per_bar) == {truth.beats_per_bar}


def test_beat_phase_is_zero_on_every_beat_of_a_changing_tempo(
    find_seeds: Callable[..., list[int]],
) -> None:
    (seed,) = find_seeds(lambda p: np.ptp(np.diff(p.grid.edges_seconds)) > 0.02, 20.0, 1)
    truth = generate_clip(seed, 20.0).truth
    for beat in truth.beats:
        labels = frame_labels(truth, 1, start_seconds=beat)
        assert _phase_distance(labels.beat_phase, np.zeros(1))[0] < 1e-5
        is_downbeat = beat in truth.downbeats
        assert (_phase_distance(labels.bar_phase, np.zeros(1))[0] < 1e-5) == is_downbeat


def test_lead_pitch_class_follows_the_notes(find_seeds: Callable[..., list[int]]) -> None:
    for seed in find_seeds(lambda plan: "lead" in plan.roles, 6.0, 5):
        truth = generate_clip(seed, 6.0).truth
        classes = frame_labels(truth, 300, position=0.5).lead_pitch_class
        for frame, pitch_class in enumerate(classes):
            time = (frame + 0.5) / 50.0
            sounding = [
                n.pitch % 12 for n in truth.lead_notes if n.start_seconds < time < n.end_seconds
            ]
            assert pitch_class == (sounding[0] if sounding else 12)


def test_flags_are_those_of_the_bar(find_seeds: Callable[..., list[int]]) -> None:
    seeds = find_seeds(lambda plan: len({s.roles for s in plan.sections}) > 2, 16.0, 3)
    for seed in seeds:
        truth = generate_clip(seed, 16.0).truth
        labels = frame_labels(truth, 800)
        for bar in truth.bars:
            middle = int((bar.start_seconds + bar.end_seconds) / 2.0 * 50.0)
            for role in ("drums", "bass", "pad", "keys", "lead"):
                assert getattr(labels, role)[middle] == getattr(bar, role)


def test_a_window_equals_the_same_part_of_the_whole(short_clips: list[Clip]) -> None:
    truth = short_clips[3].truth
    whole = frame_labels(truth, FRAMES)
    part = frame_labels(truth, 50, start_seconds=1.0)
    np.testing.assert_array_equal(part.lead_pitch_class, whole.lead_pitch_class[50:100])
    assert _phase_distance(part.bar_phase, whole.bar_phase[50:100]).max() < 1e-5
    assert part.bpm == pytest.approx(whole.bpm[50:100])
