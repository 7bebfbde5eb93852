"""Exported files, read back by soundfile, json and mido."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile

from musicgen_rt.errors import AudioFileError
from musicgen_rt.train.music import Clip, export, generate_clip, truth_from_json
from musicgen_rt.train.music.drum_recipes import DRUM_RECIPES
from musicgen_rt.train.music.export import DRUM_PITCHES


@pytest.fixture(scope="module")
def clip(find_seeds: Callable[..., list[int]]) -> Clip:
    """A clip in which all roles play and the tempo changes."""
    (seed,) = find_seeds(
        lambda p: len(p.roles) == 5 and np.ptp(np.diff(p.grid.edges_seconds)) > 0.02, 12.0, 1
    )
    return generate_clip(seed, 12.0)


def test_wav_and_json_round_trip(clip: Clip, tmp_path: Path) -> None:
    files = export(clip, tmp_path / "new folder", "clip")
    samples, rate_hz = soundfile.read(files.wav, dtype="float32")
    assert rate_hz == clip.rate_hz
    np.testing.assert_allclose(samples, clip.samples, atol=2.0**-22)
    assert truth_from_json(files.json.read_text(encoding="utf-8")) == clip.truth


def _read_notes(path: Path) -> dict[int, list[tuple[float, int]]]:
    """(seconds, pitch) of each note's start, by channel; mido follows the tempo map itself."""
    notes: dict[int, list[tuple[float, int]]] = {}
    seconds = 0.0
    for message in mido.MidiFile(path):
        seconds += message.time
        if message.type == "note_on" and message.velocity > 0:
            notes.setdefault(message.channel, []).append((seconds, message.note))
    return {channel: sorted(part) for channel, part in notes.items()}


def test_midi_notes_are_where_the_truth_has_them(clip: Clip, tmp_path: Path) -> None:
    truth = clip.truth
    files = export(clip, tmp_path, "clip")
    played = _read_notes(files.midi)
    parts = {
        0: truth.bass_notes,
        1: (*truth.pad_notes, *truth.keys_notes),
        2: truth.lead_notes,
    }
    for channel, notes in parts.items():
        wanted = sorted((note.start_seconds, note.pitch) for note in notes)
        _assert_same_notes(played[channel], wanted, -truth.grid.edges_seconds[0])
    hits = sorted((hit.start_seconds, DRUM_PITCHES[hit.drum]) for hit in truth.drum_hits)
    _assert_same_notes(played[9], hits, -truth.grid.edges_seconds[0])


def _assert_same_notes(
    played: list[tuple[float, int]], wanted: list[tuple[float, int]], offset_seconds: float
) -> None:
    assert sorted(pitch for _, pitch in played) == sorted(pitch for _, pitch in wanted)
    for pitch in {pitch for _, pitch in wanted}:
        times = [time - offset_seconds for time, each in played if each == pitch]
        true_times = [time for time, each in wanted if each == pitch]
        np.testing.assert_allclose(times, true_times, atol=1.5e-3)


def test_midi_has_the_meter_and_named_tracks(clip: Clip, tmp_path: Path) -> None:
    midi = mido.MidiFile(export(clip, tmp_path, "clip").midi)
    assert [track.name for track in midi.tracks] == ["tempo", "drums", "bass", "chords", "lead"]
    meters = [m for m in midi.tracks[0] if m.type == "time_signature"]
    assert [meter.numerator for meter in meters] == [clip.truth.beats_per_bar]
    tempos = [mido.tempo2bpm(m.tempo) for m in midi.tracks[0] if m.type == "set_tempo"]
    assert tempos[0] == pytest.approx(clip.truth.bpm, rel=1e-4)
    assert len(tempos) > 1


def test_every_drum_has_a_midi_pitch() -> None:
    assert set(DRUM_PITCHES) == set(DRUM_RECIPES)
    assert len(set(DRUM_PITCHES.values())) == len(DRUM_PITCHES)


def test_a_folder_that_cannot_be_written_is_a_clear_error(clip: Clip, tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("not a folder", encoding="utf-8")
    with pytest.raises(AudioFileError, match="choose a folder"):
        export(clip, blocker, "clip")
