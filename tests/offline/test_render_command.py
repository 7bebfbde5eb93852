"""`musicgen-rt render` end to end: files, sidecars that render again, and one line an error."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile
import soxr
import torch
from transformers import MusicgenForConditionalGeneration

from bridge.cli import main
from musicgen_rt.commands.progress import AudioProgress
from musicgen_rt.commands.render import parse_prompt
from musicgen_rt.live.prompt import Prompt
from musicgen_rt.model.new_checkpoint import write_checkpoint

RATE_HZ = 32000


def render(*arguments: object) -> int:
    return main(["render", *map(str, arguments)])


def audio_of(path: Path) -> np.ndarray:
    samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    assert rate_hz == RATE_HZ
    return samples


@pytest.fixture
def song(tmp_path: Path) -> Path:
    """A stereo file of 1.5 s at 44.1 kHz, in a folder of its own."""
    times = np.arange(66_150) / 44_100
    path = tmp_path / "inputs" / "song.flac"
    path.parent.mkdir()
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 330 * times[:, None] * [1, 1.5]), 44_100)
    return path


@pytest.fixture
def tune(tmp_path: Path) -> Path:
    """A MIDI file with four notes."""
    track = mido.MidiTrack()
    for pitch in (60, 64, 67, 72):
        track.append(mido.Message("note_on", note=pitch, velocity=100, time=0))
        track.append(mido.Message("note_off", note=pitch, time=240))
    midi = mido.MidiFile(ticks_per_beat=480)
    midi.tracks.append(track)
    midi.save(tmp_path / "tune.mid")
    return tmp_path / "tune.mid"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An empty folder."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.mark.parametrize(
    ("argument", "text", "weight"),
    [
        ("deep house", "deep house", 1.0),
        ("deep house:0.5", "deep house", 0.5),
        ("deep house:-1", "deep house", -1.0),
        ("deep house:+2.", "deep house", 2.0),
        ("deep house:.25", "deep house", 0.25),
        ("drums: 4 on the floor", "drums: 4 on the floor", 1.0),
        ("tempo: 120", "tempo: 120", 1.0),
        ("drums: 4 on the floor:2", "drums: 4 on the floor", 2.0),
        ("time 4:4:1", "time 4:4", 1.0),
        ("a:nan", "a:nan", 1.0),
        ("a:1e3", "a:1e3", 1.0),
        ("a:", "a:", 1.0),
        (":0.5", "", 0.5),
    ],
)
def test_prompts_and_weights(argument: str, text: str, weight: float) -> None:
    assert parse_prompt(argument) == Prompt(text, weight)


def test_a_sidecar_renders_the_same_again(
    tiny_melody: Path, out: Path, song: Path, tune: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the files it was made from, and to other names."""
    options = [
        *("--model", tiny_melody, "--prompt", "drums: 4 on the floor", "--prompt", "strings:0.5"),
        *("--negative", "noise", "--melody", tune, "--continue", song, "--seconds", "0.7"),
        *("--seed", "7", "--cfg", "2.5", "--cfg-melody", "4", "--temperature", "0.9"),
        *("--top-k", "30", "--top-p", "0.95", "--bpm", "128", "--beats-per-bar", "3"),
        *("--window", "5", "--context", "2", "--weights", "fp32", "--loudness", "-20"),
    ]
    assert render(*options, "--out", out / "a.wav", "--tokens", out / "a.npy") == 0
    assert capsys.readouterr().out == f"{out / 'a.wav'}\n"
    song.unlink()
    tune.unlink()
    again = ["--from", out / "a.json", "--out", out / "b.wav", "--tokens", out / "b.npy"]
    assert render(*again) == 0
    assert "sidecar" not in capsys.readouterr().err
    np.testing.assert_array_equal(audio_of(out / "b.wav"), audio_of(out / "a.wav"))
    assert (out / "b.npy").read_bytes() == (out / "a.npy").read_bytes()
    one, two = (json.loads((out / name).read_text()) for name in ("a.json", "b.json"))
    assert one["recipe"] == two["recipe"]
    assert one["model"] == two["model"]
    assert one["result"]["tokens_sha256"] == two["result"]["tokens_sha256"]
    assert sorted(os.listdir(out)) == ["a.json", "a.npy", "a.wav", "b.json", "b.npy", "b.wav"]


def test_what_is_given_beside_a_sidecar_replaces_what_it_says(
    tiny_text: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--model", tiny_text, "--prompt", "piano", "--seconds", "0.5", "--seed", "3"]
    assert render(*common, "--top-k", "20", "--out", out / "a.flac") == 0
    long_prompt = "a piano, and many other instruments that all play together " * 2
    changes = ["--seconds", "0.3", "--cfg", "1", "--prompt", long_prompt]
    assert render("--from", out / "a.json", *changes, "--out", out / "b.wav") == 0
    recipe = json.loads((out / "b.json").read_text())["recipe"]
    assert recipe["parameters"] == {"seed": 3, "top_k": 20, "cfg": 1.0}
    assert recipe["prompts"] == [{"text": long_prompt, "weight": 1.0}]
    assert len(audio_of(out / "b.wav")) == 9600
    assert "sidecar" not in capsys.readouterr().err  # it was not asked for the same music


def test_a_sidecar_notices_another_checkpoint(
    tiny_text: Path, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_checkpoint("facebook/musicgen-small", tmp_path / "other", tiny=True, seed=1)
    common = ["--prompt", "piano", "--seconds", "0.3"]
    assert render("--model", tiny_text, *common, "--out", out / "a.wav") == 0
    again = ["--from", out / "a.json", "--model", tmp_path / "other", "--out", out / "b.wav"]
    assert render(*again) == 0
    shown = capsys.readouterr().err
    assert "is not the checkpoint of" in shown
    assert "the tokens are not those of the sidecar" in shown


def test_the_continued_file_is_heard(
    tiny_text: Path, out: Path, song: Path, tmp_path: Path
) -> None:
    """As transformers' codec encodes it at the model's rate, but for the last four frames."""
    common = ["--model", tiny_text, "--prompt", "x", "--seconds", "0.2", "--continue", song]
    assert render(*common, "--out", out / "a.wav", "--tokens", out / "a.npy") == 0
    samples, rate_hz = soundfile.read(song, dtype="float32")
    mono = soxr.resample(samples.mean(axis=1), rate_hz, RATE_HZ)
    codec = MusicgenForConditionalGeneration.from_pretrained(tiny_text).audio_encoder.eval()
    with torch.no_grad():
        expected = codec.encode(torch.from_numpy(mono)[None, None]).audio_codes[0, 0].numpy()
    frames = expected.shape[1] - 4
    codes = np.load(out / "a.npy")
    assert codes.shape == (4, frames + 10)
    # Nearly: a sample that is rounded otherwise can tip a code.
    assert (codes[:, :frames] == expected[:, :frames]).mean() > 0.98
    assert audio_of(out / "a.wav").shape == (frames * 640 + 6400, 1)


def test_continuing_a_long_file_says_so(
    tiny_text: Path, out: Path, song: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    window = ["--window", "1", "--context", "0.5", "--no-include-given"]
    common = ["--model", tiny_text, "--prompt", "x", "--seconds", "0.3", "--out", out / "a.wav"]
    assert render(*common, "--continue", song, *window) == 0
    assert "lasts 1.5 s: its last 1 s" in capsys.readouterr().err
    assert audio_of(out / "a.wav").shape == (9600, 1)


def test_greedy_is_temperature_0(tiny_text: Path, out: Path) -> None:
    common = ["--model", tiny_text, "--prompt", "x", "--seconds", "0.3"]
    assert render(*common, "--greedy", "--seed", "1", "--out", out / "a.wav") == 0
    assert render(*common, "--temperature", "0", "--seed", "2", "--out", out / "b.wav") == 0
    np.testing.assert_array_equal(audio_of(out / "a.wav"), audio_of(out / "b.wav"))


def test_random_seeds_differ_and_are_kept(tiny_text: Path, out: Path) -> None:
    common = ["--model", tiny_text, "--prompt", "x", "--seconds", "0.1", "--seed", "random"]
    seeds = set()
    for name in ("a", "b"):
        assert render(*common, "--out", out / f"{name}.wav") == 0
        sidecar = json.loads((out / f"{name}.json").read_text())
        seeds.add(sidecar["recipe"]["parameters"]["seed"])
    assert len(seeds) == 2


def test_files_are_replaced_unless_that_is_forbidden(tiny_text: Path, out: Path) -> None:
    common = ["--model", tiny_text, "--prompt", "x", "--seconds", "0.1", "--out", out / "a.wav"]
    assert render(*common) == 0
    first = (out / "a.json").read_text()
    assert render(*common, "--seed", "5") == 0
    second = (out / "a.json").read_text()
    assert second != first
    assert render(*common, "--no-clobber") == 2
    assert (out / "a.json").read_text() == second


def test_attributes(
    tiny_frame_conditioned: Path, tiny_text: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--prompt", "x", "--seconds", "0.1", "--out", out / "a.wav"]
    asked = ["--attribute", "drums=off", "--attribute", "bass=on"]
    assert render("--model", tiny_frame_conditioned, *common, *asked) == 0
    recipe = json.loads((out / "a.json").read_text())["recipe"]
    assert recipe["attributes"] == {"drums": False, "bass": True}
    assert render("--model", tiny_text, *common, *asked) == 1
    assert render("--model", tiny_frame_conditioned, *common, "--attribute", "oboe=on") == 1
    assert render("--model", tiny_frame_conditioned, *common, "--attribute", "drums") == 2
    shown = capsys.readouterr().err.splitlines()[-3:]
    assert "has none" in shown[0]
    assert "has drums, bass, lead" in shown[1]
    assert "NAME=on" in shown[2]


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"--seconds": "0"}, 2, "seconds is 0.0: expected 0.001 to 86400"),
        ({"--seconds": "-3"}, 2, "seconds is -3.0"),
        ({"--seconds": "nan"}, 2, "seconds is nan"),
        ({"--seconds": "1e30"}, 2, "seconds is 1e+30"),
        ({"--model": "nowhere/at/all"}, 1, "no such folder"),
        ({"--model": ""}, 1, "expected a folder or a hub id"),
        ({"--prompt": ""}, 2, "the prompt is empty"),
        ({"--prompt": ":0.5"}, 2, "the prompt is empty"),
        ({"--prompt": "x" * 1_000_000}, 2, "1000000 characters"),
        ({"--prompt": "x:99"}, 2, "the weight of a prompt is 99.0: expected -10 to 10"),
        ({"--negative": " "}, 2, "the prompt is empty"),
        ({"--melody": "missing.mid"}, 1, "missing.mid does not exist"),
        ({"--melody": "missing.wav"}, 1, "missing.wav does not exist"),
        ({"--melody": "{song}"}, 1, "cannot follow a melody"),
        ({"--continue": "missing.wav"}, 1, "missing.wav does not exist"),
        ({"--continue": "{text}"}, 1, "cannot be read as audio"),
        ({"--continue": "{short}"}, 2, "frames"),
        ({"--out": "{out}/a.mp3"}, 2, "expected .wav or .flac"),
        ({"--out": "{out}/a"}, 2, "expected .wav or .flac"),
        ({"--out": "{out}/none/a.wav"}, 1, "expected a folder that exists"),
        ({"--out": "{folder}"}, 2, "is a folder"),
        ({"--out": "{song}", "--continue": "{song}"}, 2, "would be replaced"),
        ({"--out": "{other}"}, 2, "is another kind of file"),
        ({"--tokens": "{out}/a.txt"}, 2, "expected .npy"),
        ({"--tokens": "{out}/none/a.npy"}, 1, "expected a folder that exists"),
        ({"--seed": "-1"}, 2, "seed is -1: expected 0 to"),
        ({"--seed": "abc"}, 2, "'random'"),
        ({"--cfg": "inf"}, 2, "cfg is inf"),
        ({"--cfg-melody": "3"}, 2, "expected --melody"),
        ({"--temperature": "-1"}, 2, "temperature is -1.0"),
        ({"--top-p": "2"}, 2, "top_p is 2.0"),
        ({"--bpm": "0"}, 2, "bpm is 0.0"),
        ({"--beats-per-bar": "4"}, 2, "without bpm"),
        ({"--window": "20", "--context": "20"}, 2, "context_seconds is 20"),
        ({"--window": "500"}, 2, "positions"),
        ({"--chunk-frames": "0"}, 2, "chunk_frames is 0"),
        ({"--loudness": "5"}, 2, "loudness_lufs is 5.0"),
        ({"--device": "cuda:99"}, 2, "not there"),
        ({"--weights": "int3"}, 2, "expected one of fp32"),
        ({"--from": "{song}"}, 2, "is not JSON"),
        ({"--from": "{foreign}"}, 2, "is not a render's sidecar"),
        ({"--from": "missing.json"}, 2, "cannot be read"),
    ],
)
def test_mistakes(
    tiny_text: Path,
    out: Path,
    song: Path,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, str | None],
    code: int,
    message: str,
) -> None:
    """One clear line, an exit code, and not a file more than before."""
    inputs = song.parent
    (inputs / "text.wav").write_text("no audio")
    (inputs / "foreign.json").write_text('{"format": "something else"}')
    soundfile.write(inputs / "short.wav", np.zeros(100), RATE_HZ)
    (out / "other.json").write_text("{}")
    (out / "folder.wav").mkdir()
    places = {
        "out": out,
        "song": song,
        "text": inputs / "text.wav",
        "short": inputs / "short.wav",
        "foreign": inputs / "foreign.json",
        "other": out / "other.wav",
        "folder": out / "folder.wav",
    }
    options: dict[str, str | None] = {
        "--model": str(tiny_text),
        "--prompt": "x",
        "--seconds": "0.1",
        "--out": str(out / "a.wav"),
    }
    options |= changes
    arguments = [
        word.format(**places) if word.startswith("{") else word
        for name, value in options.items()
        if value is not None
        for word in (name, value)
    ]
    before = sorted(inputs.rglob("*")) + sorted(out.rglob("*"))
    assert render(*arguments) == code
    shown = capsys.readouterr()
    errors = [line for line in shown.err.splitlines() if line.startswith("musicgen-rt: error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert len(errors[0]) < 500
    assert shown.out == ""
    assert sorted(inputs.rglob("*")) + sorted(out.rglob("*")) == before


@pytest.mark.parametrize(
    "change",
    [{"version": 99}, {"version": None}, {"recipe": {}}, {"result": 3}, {"model": [1]}],
)
def test_damaged_sidecars(
    tiny_text: Path, out: Path, capsys: pytest.CaptureFixture[str], change: dict[str, object]
) -> None:
    common = ["--model", tiny_text, "--prompt", "x", "--seconds", "0.1"]
    assert render(*common, "--out", out / "a.wav") == 0
    whole = json.loads((out / "a.json").read_text())
    (out / "bad.json").write_text(json.dumps(whole | change))
    assert render("--from", out / "bad.json", "--out", out / "b.wav") == 2
    assert "bad.json" in capsys.readouterr().err.splitlines()[-1]
    (out / "bad.json").write_text((out / "a.json").read_text()[:-20])
    assert render("--from", out / "bad.json", "--out", out / "b.wav") == 2
    assert sorted(os.listdir(out)) == ["a.json", "a.wav", "bad.json"]


def test_debug_shows_where(tiny_text: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--model", tiny_text, "--prompt", "x", "--seconds", "0", "--out", "a.wav"]
    assert render(*arguments, "--debug") != 0
    assert "Traceback" in capsys.readouterr().err


def test_progress_in_lines() -> None:
    """Elsewhere than in a terminal: a line at the start, every ten seconds, and at the end."""
    stream = io.StringIO()
    clock = iter([0.0, 4.0, 12.0, 13.0, 20.0])
    with AudioProgress("rendering", stream=stream, clock=lambda: next(clock)) as progress:
        for done_seconds in (0.0, 8.0, 18.0, 26.0, 30.0):
            progress.update(done_seconds, 30.0)
    assert stream.getvalue().splitlines() == [
        "rendering: 0.0 of 30.0 s, 0.00 x real time",
        "rendering: 18.0 of 30.0 s, 1.50 x real time",
        "rendering: 30.0 of 30.0 s, 1.50 x real time",
    ]


def test_progress_in_a_terminal() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    clock = iter([0.0, 10.0])
    with AudioProgress("rendering", stream=stream, clock=lambda: next(clock)) as progress:
        progress.update(0.0, 30.0)
        progress.note("a remark")
        progress.update(30.0, 30.0)
    shown = stream.getvalue()
    assert "100%" in shown
    assert "3.00 x real time" in shown
    assert "a remark\n" in shown
    assert shown.endswith("\n")
