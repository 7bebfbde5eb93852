"""`evaluate audio` end to end: sets that are alike and unlike, pairs, captions, clocks."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from bridge.cli import main
from musicgen_rt.errors import AudioFileError
from musicgen_rt.evaluate.audio_labels import asked_tempo, caption_of
from musicgen_rt.evaluate.audio_music import beat_agreement, clip_figures, octave_free, pulse
from musicgen_rt.evaluate.audio_set import Clip
from musicgen_rt.evaluate.pocket_pieces import RATE_HZ
from musicgen_rt.live.prompt import Prompt
from musicgen_rt.offline.recipe import Recipe
from musicgen_rt.offline.render import Rendered
from musicgen_rt.offline.sidecar import write_sidecar
from tests.evaluate.music import clicks, tone

_CLIPS = 9


def clip(samples: np.ndarray, name: str = "a") -> Clip:
    return Clip(Path(f"{name}.wav"), name, samples.astype(np.float32), RATE_HZ)


def write_set(folder: Path, gain: float, seed: int, rate_hz: int = 16_000) -> Path:
    """Coloured noises of 3 s; the gain sets how bright they are."""
    folder.mkdir()
    random = np.random.default_rng(seed)
    for index in range(_CLIPS):
        noise = random.standard_normal(3 * rate_hz)
        dull = np.convolve(noise, np.ones(8) / 8, "same")
        samples = 0.1 * (dull + gain * noise) * random.uniform(0.7, 1.0)
        soundfile.write(folder / f"{index}.wav", samples, rate_hz, subtype="FLOAT")
    return folder


def sidecar_for(audio: Path, **values: Any) -> None:
    """The sidecar of a render that was asked for this."""
    made = Rendered(32_000, 1, 1, 0, 1, 0, "0", "0", 0.0, 1.0, None)
    write_sidecar(audio.with_suffix(".json"), Recipe(model="tiny", **values), {}, made)


def report(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert main(["evaluate", "audio", *map(str, arguments), "--json", "--quiet"]) == 0
    value: dict[str, Any] = json.loads(capsys.readouterr().out)
    return value


def test_a_set_that_is_alike_is_nearer_than_one_that_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real = write_set(tmp_path / "real", 0.2, 0)
    alike = report(capsys, "--ref", real, "--gen", write_set(tmp_path / "alike", 0.2, 1))
    unlike = report(capsys, "--ref", real, "--gen", write_set(tmp_path / "unlike", 1.0, 2))
    assert unlike["fad"]["distance"] > 3 * alike["fad"]["distance"]
    assert unlike["fad"]["infinity"]["distance"] > 3 * abs(alike["fad"]["infinity"]["distance"])
    assert alike["fad"]["windows"] == {"reference": 27, "generated": 27}
    assert any("27 windows for 48 dimensions" in text for text in alike["warnings"])
    assert "nothing published" in alike["fad"]["comparable_with"]
    assert alike["kl"] is None and alike["clap"] is None
    assert len(alike["clips"]) == _CLIPS
    assert alike["music"]["chroma_pairs"] == _CLIPS


def test_it_prints_a_table_and_writes_the_report_and_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real, made = (write_set(tmp_path / name, 0.2, seed) for seed, name in enumerate("rm"))
    files = ["--out", str(tmp_path / "r.json"), "--plot", str(tmp_path / "r.png")]
    arguments = ["evaluate", "audio", "--ref", str(real), "--gen", str(made), "--quiet", *files]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "FAD at infinity" in shown
    assert "warning: reference: 27 windows" in shown
    assert json.loads((tmp_path / "r.json").read_text())["schema"] == "musicgen-rt evaluate audio 1"
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")


def test_sets_of_two_rates_end_with_one_line_and_are_compared_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real = write_set(tmp_path / "real", 0.2, 0)
    made = write_set(tmp_path / "made", 0.2, 1, rate_hz=22_050)
    sets = ["--ref", str(real), "--gen", str(made), "--quiet"]
    assert main(["evaluate", "audio", *sets]) == 2
    assert "expected one rate" in capsys.readouterr().err
    assert report(capsys, *sets, "--rate", 16_000)["sets"]["generated"]["rate_hz"] == 16_000


def test_bad_sets_are_refused_before_a_network_is_fetched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clips of 3 s are too short for PaSST, which is not there either."""
    monkeypatch.setitem(sys.modules, "hear21passt", None)
    real, made = (write_set(tmp_path / name, 0.2, seed) for seed, name in enumerate("rm"))
    arguments = ["evaluate", "audio", "--ref", str(real), "--gen", str(made), "--quiet", "--kl"]
    assert main(arguments) == 1
    assert "0.wav lasts 3.00 s: expected 10 s" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "name", "said"),
    [
        ("--plot", "picture.txt", "expected a name that ends in .png"),
        ("--plot", "none/picture.png", "cannot be written"),
        ("--out", "none/report.json", "cannot be written"),
        ("--out", ".", "is a folder"),
    ],
)
@pytest.mark.parametrize("measure", [["audio", "--ref", "r", "--gen", "g"], ["form", "song.wav"]])
def test_what_cannot_be_written_is_told_before_any_work(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    measure: list[str],
    option: str,
    name: str,
    said: str,
) -> None:
    """Before the sets, of which there are none here, are looked for."""
    assert main(["evaluate", *measure, option, str(tmp_path / name)]) != 0
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_pulse_of_clicks_is_theirs() -> None:
    heard = pulse(clicks(np.arange(0.0, 11.9, 0.5), 12.0), RATE_HZ)
    assert heard is not None
    assert heard.bpm == pytest.approx(120.0, rel=0.01)
    assert pulse(np.zeros(12 * RATE_HZ, np.float32), RATE_HZ) is None
    assert pulse(clicks([0.0, 0.5], 1.0), RATE_HZ) is None


def test_a_clip_is_judged_by_the_clock_it_was_told_before_its_reference() -> None:
    slow = clip(clicks(np.arange(0.0, 11.9, 0.5), 12.0))
    fast = clip(clicks(np.arange(0.0, 11.9, 0.4), 12.0))
    by_reference = clip_figures(slow, fast, None)
    by_clock = clip_figures(slow, fast, (120.0, 4))
    assert by_reference.tempo_error == pytest.approx(120 / 150 - 1, abs=0.01)
    assert by_clock.tempo_error == pytest.approx(0.0, abs=0.01)
    assert by_clock.beat_f is not None and by_clock.beat_f > 0.9
    assert by_clock.beat_error_ms is not None and by_clock.beat_error_ms < 40
    alone = clip_figures(slow, None, None)
    assert alone.tempo_error is alone.beat_f is alone.chroma_cosine is None


def test_chroma_of_one_tune_agrees_and_of_another_does_not() -> None:
    ours = np.concatenate([tone(pitch, 1.0) for pitch in (60, 64, 67)])
    higher = np.concatenate([tone(pitch + 12, 1.0) for pitch in (60, 64, 67)])
    other = np.concatenate([tone(pitch, 1.0) for pitch in (61, 66, 70)])
    same = clip_figures(clip(ours), clip(higher), None).chroma_cosine
    apart = clip_figures(clip(ours), clip(other), None).chroma_cosine
    assert same is not None and same > 0.85
    assert apart is not None and apart < 0.4
    assert clip_figures(clip(ours), clip(ours), None).chroma_cosine == pytest.approx(1.0)


def test_beats_are_counted_once_and_within_70_ms() -> None:
    asked = np.arange(0.0, 4.0, 0.5)
    for late_seconds, expected_f in ((0.05, 1.0), (0.1, 0.0)):
        f, error_ms = beat_agreement(asked + late_seconds, asked)
        assert f == expected_f
        assert error_ms == pytest.approx(late_seconds * 1e3)
    twice = np.sort(np.concatenate([asked, asked + 0.25]))
    assert beat_agreement(twice, asked)[0] == pytest.approx(2 * 8 / 24)


@pytest.mark.parametrize(("ratio", "free"), [(1.0, 1.0), (2.02, 1.01), (0.49, 0.98), (1.5, 0.75)])
def test_octaves_are_forgiven_and_nothing_else(ratio: float, free: float) -> None:
    assert octave_free(ratio) == pytest.approx(free)


def test_what_a_clip_was_asked_to_be_is_in_a_caption_or_its_sidecar(tmp_path: Path) -> None:
    audio = tmp_path / "a.wav"
    assert caption_of(audio) is None
    assert asked_tempo(audio) is None
    sidecar_for(audio, prompts=(Prompt("hats", 0.5), Prompt("dub", 2.0)), bpm=90.0, beats_per_bar=3)
    assert caption_of(audio) == "dub"
    assert asked_tempo(audio) == (90.0, 3)
    (tmp_path / "a.txt").write_text(" a slow waltz \n")
    assert caption_of(audio) == "a slow waltz"
    (tmp_path / "a.txt").write_bytes(b"\xff" * 10)
    with pytest.raises(AudioFileError, match="cannot be read as text"):
        caption_of(audio)
    (tmp_path / "a.txt").write_bytes(b"x" * 20_000)
    with pytest.raises(AudioFileError, match="20000 bytes"):
        caption_of(audio)
