"""The measure of played melodies and its picture."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from musicgen_rt.errors import ParameterError, UnsupportedError
from musicgen_rt.evaluate.melody import evaluate_melody, random_phrase, table
from musicgen_rt.evaluate.melody_picture import draw_melody
from musicgen_rt.evaluate.melody_stage import StageVenue
from musicgen_rt.evaluate.pocket_play import Player
from musicgen_rt.model.musicgen import MusicGen

# librosa compiles itself: minutes on a busy machine.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def tiny_model(player: Player) -> MusicGen:
    return player.model


def _ignore(label: str, done: int, total: int) -> None:
    pass


def test_phrases_are_whole_bars_of_notes_one_at_a_time() -> None:
    for index in range(20):
        phrase = random_phrase(3, index)
        assert phrase == random_phrase(3, index)
        assert phrase.notes[0].start_beats == 0
        for one, two in zip(phrase.notes, phrase.notes[1:], strict=False):
            assert one.start_beats < one.end_beats <= two.start_beats
        assert all(0 < note.pitch < 128 for note in phrase.notes)
        assert 4 * phrase.bars - 0.5 <= phrase.notes[-1].end_beats <= 4 * phrase.bars


def test_bad_requests_are_refused(tiny_model: MusicGen) -> None:
    with pytest.raises(ParameterError, match="expected 2 to 200"):
        evaluate_melody(StageVenue(tiny_model), 1, 0, _ignore)
    config = replace(tiny_model.config, frame_conditioning=None)
    with pytest.raises(UnsupportedError, match="cannot follow a melody"):
        StageVenue(replace(tiny_model, config=config))


def test_the_report_adds_up(tiny_model: MusicGen) -> None:
    report, played = evaluate_melody(StageVenue(tiny_model), 2, 0, _ignore)
    assert report["through"] == "stage"
    assert len(played) == 2
    for name in ("followed", "looped"):
        assert 0 <= report[name]["agreement"] <= 1
        assert len(report[name]["each"]) == 2
    for one in played:
        # What was asked, by the phrase itself: each note where its keys went down and up.
        asked = one.followed[0]
        pitches = [note.pitch % 12 for note in one.phrase.notes]
        runs = asked[np.flatnonzero(np.diff(asked, prepend=12))]
        assert [int(c) for c in runs if c != 12] == pitches
        beats, bars = one.beats_seconds, one.bars_seconds
        bar_seconds = 4 * 60 / one.phrase.bpm
        assert np.allclose(np.diff(bars), bar_seconds) and bars == beats[::4]
        # A bar before it, the phrase, a bar in between, the loop and its repeats.
        assert len(one.samples) / one.rate_hz == pytest.approx(12 * bar_seconds, abs=0.05)
    json.dumps(report, allow_nan=False)
    assert len(table(report).splitlines()) == 3


def test_a_picture_shows_where_the_notes_are(tmp_path: Path) -> None:
    time = np.arange(2 * 32_000) / 32_000
    samples = np.sin(2 * np.pi * 440 * time).astype(np.float32)
    classes = [12] * 20 + [9] * 60 + [12] * 20
    plain, drawn = tmp_path / "plain.png", tmp_path / "drawn.png"
    draw_melody(plain, samples, 32_000, [12] * 100, "none")
    draw_melody(drawn, samples, 32_000, classes, "none", (0.5, 1.0, 1.5), (0.0,))
    assert plain.read_bytes()[:8] == drawn.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert plain.read_bytes() != drawn.read_bytes()
