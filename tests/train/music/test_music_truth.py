"""The truth agrees with itself, with music theory and with its JSON form."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise

import librosa
import numpy as np
import pytest

from musicgen_rt.train.music import Clip, Truth, generate_clip, truth_from_json
from musicgen_rt.train.music.plan import SongPlan

LIBROSA_MODES = {
    "major": "maj",
    "minor": "min",
    "dorian": "dor",
    "mixolydian": "mix",
    "phrygian": "phr",
}
ROLES = ("drums", "bass", "pad", "keys", "lead")


def test_steady_clips_have_evenly_spaced_beats(short_clips: list[Clip]) -> None:
    steady = [clip.truth for clip in short_clips if clip.truth.has_steady_tempo]
    assert len(steady) > 40
    for truth in steady:
        np.testing.assert_allclose(np.diff(truth.beats), 60.0 / truth.bpm, atol=1e-6)
        bar_seconds = truth.beats_per_bar * 60.0 / truth.bpm
        np.testing.assert_allclose(np.diff(truth.downbeats), bar_seconds, atol=1e-6)
        assert set(truth.downbeats) <= set(truth.beats)


def test_beats_fill_the_clip(short_clips: list[Clip]) -> None:
    for truth in (clip.truth for clip in short_clips):
        assert 0.0 <= truth.beats[0] < 60.0 / truth.bpm
        assert truth.seconds - 60.0 / truth.tempo_map[-1].bpm <= truth.beats[-1] < truth.seconds


def _changes_tempo(plan: SongPlan) -> bool:
    return float(np.ptp(np.diff(plan.grid.edges_seconds))) > 1e-3


def test_tempo_changes_show_in_the_beats(find_seeds: Callable[..., list[int]]) -> None:
    changing = find_seeds(_changes_tempo, 20.0, 4)
    for seed in changing:
        truth = generate_clip(seed, 20.0).truth
        assert not truth.has_steady_tempo
        for beat, following in pairwise(truth.beats):
            in_force = [point for point in truth.tempo_map if point.time_seconds <= beat + 1e-9][-1]
            assert following - beat == pytest.approx(60.0 / in_force.bpm, abs=1e-6)
            assert 60.0 - 1e-6 <= in_force.bpm <= 180.0 + 1e-6


def test_lead_is_monophonic_and_in_range(short_clips: list[Clip]) -> None:
    leads = [clip.truth.lead_notes for clip in short_clips if clip.truth.lead_notes]
    assert len(leads) > 15
    for notes in leads:
        for note in notes:
            assert 0.0 <= note.start_seconds < note.end_seconds <= 3.0
            assert 48 <= note.pitch <= 96
            assert 0.0 < note.velocity <= 1.0
        for note, following in pairwise(notes):
            assert note.end_seconds <= following.start_seconds
    pitches = [note.pitch for notes in leads for note in notes]
    assert max(pitches) - min(pitches) > 24


def test_lead_keys_and_pad_stay_in_the_key(short_clips: list[Clip]) -> None:
    for truth in (clip.truth for clip in short_clips):
        tonic = truth.key_name.split(" ")[0]
        scale = set(librosa.key_to_degrees(f"{tonic}:{LIBROSA_MODES[truth.mode]}"))
        for note in (*truth.lead_notes, *truth.keys_notes, *truth.pad_notes):
            assert note.pitch % 12 in scale, truth.key_name


def test_pad_plays_the_chords(short_clips: list[Clip]) -> None:
    checked = 0
    for truth in (clip.truth for clip in short_clips):
        for note in truth.pad_notes:
            middle = (note.start_seconds + note.end_seconds) / 2.0
            chord = next(c for c in truth.chords if c.start_seconds <= middle <= c.end_seconds)
            assert note.pitch % 12 in chord.pitch_classes
            checked += 1
    assert checked > 50


def test_chords_and_sections_tile_the_clip(short_clips: list[Clip]) -> None:
    for truth in (clip.truth for clip in short_clips):
        is_pitched = bool(set(truth.instruments) - {"drums"})
        assert bool(truth.chords) == is_pitched
        _assert_tiles(truth, [(c.start_seconds, c.end_seconds) for c in truth.chords])
        _assert_tiles(truth, [(s.start_seconds, s.end_seconds) for s in truth.sections])
        _assert_tiles(truth, [(bar.start_seconds, bar.end_seconds) for bar in truth.bars])


def _assert_tiles(truth: Truth, spans: list[tuple[float, float]]) -> None:
    """The spans follow each other without a gap, from the clip's start to its end."""
    if spans:
        edges = [spans[0][0], *(end for _, end in spans)]
        assert [start for start, _ in spans] == pytest.approx(edges[:-1])
        assert [edges[0], edges[-1]] == pytest.approx([0.0, truth.seconds])


def test_bars_say_who_plays(find_seeds: Callable[..., list[int]]) -> None:
    entering = find_seeds(
        lambda plan: len(plan.roles) > 2 and len({s.roles for s in plan.sections}) > 2, 16.0, 5
    )
    for seed in entering:
        truth = generate_clip(seed, 16.0).truth
        heard = {role for role in ROLES if any(getattr(bar, role) for bar in truth.bars)}
        assert heard == set(truth.instruments)
        inner_edges = [bar.start_seconds for bar in truth.bars[1:]]
        assert inner_edges == pytest.approx([beat for beat in truth.downbeats if beat > 0.0])
        for bar in truth.bars:
            hits = [h for h in truth.drum_hits if bar.start_seconds <= h.start_seconds]
            hits = [hit for hit in hits if hit.start_seconds < bar.end_seconds - 0.03]
            assert bar.drums or not hits
        assert len({(bar.drums, bar.bass, bar.pad, bar.keys, bar.lead) for bar in truth.bars}) > 1


def test_json_round_trip(short_clips: list[Clip]) -> None:
    for clip in short_clips[:20]:
        text = clip.truth.to_json()
        assert truth_from_json(text) == clip.truth
        assert json.loads(text)["style"] == clip.truth.style
