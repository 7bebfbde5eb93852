"""The form of songs whose sound is known: recalls, pulse, levels; recordings of something else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from bridge.cli import main
from musicgen_rt.errors import ParameterError
from musicgen_rt.evaluate.form_features import bar_features, similarity
from musicgen_rt.evaluate.form_pulse import OnsetStrength, fit_beats
from musicgen_rt.evaluate.form_report import rendered_song
from musicgen_rt.evaluate.form_sections import (
    first_statements,
    recall_figures,
    section_similarity,
)
from musicgen_rt.evaluate.pocket_pieces import RATE_HZ
from musicgen_rt.live.prompt import Prompt
from musicgen_rt.live.song import Section, Song
from musicgen_rt.live.song_plan import PlacedSection, compile_song
from musicgen_rt.offline.recipe import Recipe
from musicgen_rt.offline.render import Rendered
from musicgen_rt.offline.sidecar import write_sidecar
from tests.evaluate.music import clicks, tone

_BPM, _BARS = 120.0, 4
_TUNES = {"A": (60, 64, 67, 72), "B": (61, 66, 58, 70)}
_BRIGHT = {"A": 0.0, "B": 0.03}


def played(kind: str, seed: int) -> np.ndarray:
    """A section: a tune of a bar four times over, clicks on its beats, and noise for its timbre."""
    bar = np.concatenate([tone(pitch, 0.5) for pitch in _TUNES[kind]])
    samples = np.tile(bar, _BARS) + clicks(np.arange(0.0, 7.9, 0.5), 8.0)
    noise = np.random.default_rng(seed).standard_normal(len(samples))
    mixed: np.ndarray = samples + (0.001 + _BRIGHT[kind]) * noise
    return mixed.astype(np.float32)


def song() -> Song:
    prompts = (Prompt("house"),)
    return Song(
        "known",
        (
            Section("A1", _BARS, prompts, _BPM),
            Section("B1", _BARS, prompts, _BPM),
            Section("A2", _BARS, prompts, _BPM, recall="A1"),
            Section("B2", _BARS, prompts, _BPM, recall="B1"),
        ),
    )


def write_song(folder: Path, kinds: str, gain: float = 1.0) -> Path:
    """A file of these sections, as if `render --score` had written it."""
    audio = folder / "song.wav"
    samples = gain * np.concatenate([played(kind, n) for n, kind in enumerate(kinds)])
    soundfile.write(audio, 0.5 * samples, RATE_HZ, subtype="FLOAT")
    plan = compile_song(song(), 50.0, {}, 10_000)
    made = Rendered(
        RATE_HZ, 1, len(samples), 0, plan.end_frame, 0, "0", "0", 0.0, 1.0, None, plan.sections
    )
    write_sidecar(audio.with_suffix(".json"), Recipe(model="tiny", song=song()), {}, made)
    return audio


def report_of(audio: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    assert main(["evaluate", "form", str(audio), "--json", "--quiet", *more]) == 0
    value: dict[str, Any] = json.loads(capsys.readouterr().out)
    return value


def test_a_song_that_comes_home_is_told_from_one_that_does_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("home", "lost"):
        (tmp_path / name).mkdir()
    home = report_of(write_song(tmp_path / "home", "ABAB"), capsys)
    assert home["summary"]["recalls_closer"] == home["summary"]["recalls"] == 2
    for one in home["recalls"]["both"]:
        assert one["similarity"] > 0.8
        assert one["unrelated_similarity"] < 0.0
    lost = report_of(write_song(tmp_path / "lost", "ABBA"), capsys)
    assert lost["summary"]["recalls_closer"] == 0


def test_tempo_levels_and_places_are_those_of_the_recording(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = report_of(write_song(tmp_path, "ABAB"), capsys, "--plot", str(tmp_path / "f.png"))
    summary = report["summary"]
    assert report["seconds"] == pytest.approx(32.0)
    assert [row["seconds"] for row in report["sections"]][2] == [16.0, 24.0]
    assert summary["sections_with_a_pulse"] == 4
    # 0.2 % of 8 s is the width of an onset.
    assert abs(summary["tempo_error_worst"]) <= 0.002
    assert abs(summary["late_worst_ms"]) <= 24
    assert summary["bar_line_error_worst_ms"] == 0.0
    assert summary["loudness_spread_db"] < 4.0
    assert abs(summary["bar_level_drift_db_a_minute"]) < 3.0
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")


def test_the_table_names_each_recall(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "form", str(write_song(tmp_path, "ABAB")), "--quiet"]) == 0
    shown = capsys.readouterr().out
    assert "to A1" in shown
    assert "2 of 2 recalled sections are closer" in shown


def test_beats_that_are_late_or_fast_are_heard_so() -> None:
    asked = np.arange(0.0, 12.0, 0.5)
    on_time = fit_beats(OnsetStrength.of(clicks(asked, 12.5), RATE_HZ), asked)
    late = fit_beats(OnsetStrength.of(clicks(asked + 0.04, 12.5), RATE_HZ), asked)
    fast = fit_beats(OnsetStrength.of(clicks(asked / 1.01, 12.5), RATE_HZ), asked)
    assert on_time is not None and late is not None and fast is not None
    assert late.late_ms - on_time.late_ms == pytest.approx(40.0, abs=5)
    assert late.tempo_error == pytest.approx(0.0, abs=0.001)
    assert fast.tempo_error == pytest.approx(0.01, abs=0.001)
    assert on_time.is_clear


def test_music_without_a_pulse_has_no_clear_beats() -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(12 * RATE_HZ).astype(np.float32)
    asked = np.arange(0.0, 12.0, 0.5)
    fit = fit_beats(OnsetStrength.of(noise, RATE_HZ), asked)
    assert fit is not None and not fit.is_clear
    assert fit_beats(OnsetStrength.of(noise, RATE_HZ), asked[:4]) is None


def test_similarity_is_a_correlation_of_scaled_columns() -> None:
    rows = np.random.default_rng(0).standard_normal((6, 9)) * np.arange(1, 10) + 5
    z = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    expected = [[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in z] for a in z]
    np.testing.assert_allclose(similarity(rows), expected, atol=1e-12)
    assert np.isfinite(similarity(np.ones((3, 4)))).all()


def test_bars_hear_the_order_of_a_tune() -> None:
    up = np.concatenate([tone(pitch, 0.5) for pitch in (60, 64, 67, 71)])
    down = np.concatenate([tone(pitch, 0.5) for pitch in (71, 67, 64, 60)])
    features = bar_features(np.concatenate([up, down, up]), RATE_HZ, [0.0, 2.0, 4.0, 6.0])
    assert features.chroma.shape == (3, 48)
    alike = similarity(features.chroma)
    assert alike[0, 2] > 0.9 > 0.0 > alike[0, 1]


def placed(name: str, recall: str | None, first_bar: int, bars: int) -> PlacedSection:
    return PlacedSection(name, recall, first_bar, bars, 4, 120.0, 0, 1)


def test_sections_are_compared_bar_by_bar_of_the_same_place() -> None:
    bars = np.arange(25.0).reshape(5, 5)
    matrix = section_similarity(bars, [placed("A", None, 0, 2), placed("B", None, 2, 3)])
    assert matrix[1, 0] == matrix[0, 1] == (bars[2, 0] + bars[3, 1]) / 2
    assert matrix[0, 0] == 1.0


def test_a_recall_of_a_recall_is_judged_by_the_first_statement() -> None:
    sections = [
        placed("A", None, 0, 1),
        placed("B", None, 1, 1),
        placed("A2", "A", 2, 1),
        placed("A3", "A2", 3, 1),
    ]
    assert first_statements(sections) == ["A", "B", "A", "A"]
    matrix = np.array(
        [[1.0, 0.5, 0.9, 0.4], [0.5, 1.0, 0.1, 0.6], [0.9, 0.1, 1.0, 0.95], [0.4, 0.6, 0.95, 1.0]]
    )
    second, third = recall_figures(matrix, sections)
    assert (second.similarity, second.unrelated, second.is_closer) == (0.9, "B", True)
    assert (third.first_statement, third.similarity, third.is_closer) == ("A", 0.4, False)


def test_a_recording_of_another_length_and_a_plain_render_are_refused(tmp_path: Path) -> None:
    audio = write_song(tmp_path, "ABAB")
    samples, _ = soundfile.read(audio)
    soundfile.write(audio, samples[: -3 * RATE_HZ], RATE_HZ)
    with pytest.raises(ParameterError, match="which is not the song of"):
        rendered_song(audio)
    made = Rendered(RATE_HZ, 1, 1, 0, 1, 0, "0", "0", 0.0, 1.0, None)
    write_sidecar(audio.with_suffix(".json"), Recipe(model="tiny"), {}, made)
    with pytest.raises(ParameterError, match="the sidecar of no song"):
        rendered_song(audio)


_SONG = """
bpm = 240
[[section]]
name = "A1"
bars = 3
prompt = "house"
[[section]]
name = "B"
bars = 3
prompt = "rock"
[[section]]
name = "A2"
bars = 3
recall = "A1"
memory_bars = 1
"""


def test_a_song_is_rendered_and_judged_beside_itself_as_copies(
    tmp_path: Path, tiny_frame_conditioned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    score, audio = tmp_path / "song.toml", tmp_path / "song.wav"
    score.write_text(_SONG)
    more = ("--score", str(score), "--model", str(tiny_frame_conditioned), "--weights", "fp32")
    report = report_of(audio, capsys, *more)
    recorded, copies = soundfile.read(audio)[0], soundfile.read(tmp_path / "song-copies.wav")[0]
    assert recorded.shape == copies.shape
    third = len(recorded) * 2 // 3
    assert np.allclose(recorded[: third - 6400], copies[: third - 6400], atol=1e-4)
    assert not np.allclose(recorded[third:], copies[third:], atol=1e-2)
    for name in ("both", "chroma", "timbre"):
        ours, theirs = report["recalls"][name], report["copies"][name]
        assert [one["name"] for one in ours] == [one["name"] for one in theirs] == ["A2"]
        assert ours[0]["similarity"] != theirs[0]["similarity"]
    # Judged again from its files it is the same, and the table sets both side by side.
    assert report_of(audio, capsys)["recalls"] == report["recalls"]
    assert main(["evaluate", "form", str(audio), *more, "--quiet"]) == 0
    assert "timbre: " in (table := capsys.readouterr().out) and " as copies " in table


def test_options_of_a_render_go_with_a_song(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for wrong, reason in (
        (["--model", "pocket"], "--model and --weights go with --score"),
        (["--score", "x.toml", "--sidecar", "x.json"], "expected one of them"),
        (["--score", str(tmp_path / "none.toml")], "expected a song"),
    ):
        assert main(["evaluate", "form", str(tmp_path / "x.wav"), *wrong]) != 0
        assert reason in capsys.readouterr().err
