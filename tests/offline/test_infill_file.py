"""A hole in a recording is filled; the rest stays sample by sample."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from musicgen_rt.commands import infill as command
from musicgen_rt.errors import MusicgenRTError, ParameterError, UnsupportedError
from musicgen_rt.offline import infill_file
from musicgen_rt.offline.infill_file import InfillJob, Stretch, run_infill
from tests.support.audiocraft import convert_recorded

RATE_HZ = 32_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convert_recorded(tmp_path_factory.mktemp("magnet"), "magnet")


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Two seconds of noise: two of the model's windows."""
    samples = 0.1 * np.random.default_rng(0).standard_normal((2 * RATE_HZ, 1))
    soundfile.write(tmp_path / "in.wav", samples.astype(np.float32), RATE_HZ, subtype="FLOAT")
    return tmp_path / "in.wav"


def job(folder: Path, recording: Path, first: float, end: float) -> InfillJob:
    out = recording.parent / "out.wav"
    return InfillJob(str(folder), recording, out, Stretch(first, end), "rain", weights="fp32")


def test_the_rest_stays_and_the_seed_decides(folder: Path, recording: Path) -> None:
    asked = job(folder, recording, 0.8, 1.2)
    before = soundfile.read(recording, dtype="float32")[0]
    filled = run_infill(asked)[0]
    written, rate_hz = soundfile.read(asked.out, dtype="float32")
    assert rate_hz == RATE_HZ and np.array_equal(written, filled)
    fade = round(0.02 * RATE_HZ)
    hole = slice(round(0.8 * RATE_HZ), round(1.2 * RATE_HZ))
    assert np.array_equal(filled[: hole.start - fade], before[: hole.start - fade])
    assert np.array_equal(filled[hole.stop + fade :], before[hole.stop + fade :])
    assert not np.allclose(filled[hole], before[hole])
    assert np.array_equal(run_infill(asked)[0], filled)
    other = run_infill(replace(asked, parameters={"seed": 4}))[0]
    assert not np.array_equal(other[hole], filled[hole])


def test_a_rescorer_judges_along(
    folder: Path, recording: Path, tmp_path: Path, tiny_text: Path
) -> None:
    asked = job(folder, recording, 0.8, 1.2)
    judge = convert_recorded(tmp_path, "text")
    rescored = run_infill(replace(asked, rescorer=str(judge)))
    assert not np.array_equal(rescored, run_infill(asked))
    with pytest.raises(UnsupportedError, match="codebooks of 32 at 32000 Hz"):
        run_infill(replace(asked, rescorer=str(tiny_text)))


@pytest.mark.parametrize(("first", "end"), [(0.0, 0.3), (1.7, 2.0)])
def test_a_hole_at_an_end(folder: Path, recording: Path, first: float, end: float) -> None:
    filled = run_infill(job(folder, recording, first, end))[0]
    assert len(filled) == 2 * RATE_HZ and np.isfinite(filled).all()


@pytest.mark.parametrize(("first", "end"), [(1.9, 2.1), (0.2, 1.2), (1.0, 1.001)])
def test_a_hole_that_cannot_be_filled(
    folder: Path, recording: Path, first: float, end: float
) -> None:
    with pytest.raises(ParameterError, match=r"expected a part of it, 0\.02 to 0\.8 s long"):
        run_infill(job(folder, recording, first, end))


def test_a_model_that_only_looks_back(tiny_text: Path, recording: Path) -> None:
    with pytest.raises(UnsupportedError, match="load a MAGNeT"):
        run_infill(job(tiny_text, recording, 0.8, 1.2))
    assert not (recording.parent / "out.wav").exists()


def test_bars_are_seconds() -> None:
    assert Stretch.of_bars(3, 4, 120, 4) == Stretch(4.0, 8.0)
    for bars in ((0, 1, 120.0, 4), (4, 3, 120.0, 4), (1, 1, 1e9, 4)):
        with pytest.raises(ParameterError, match="expected bars"):
            Stretch.of_bars(*bars)
    with pytest.raises(ParameterError, match="ends after that"):
        Stretch(2.0, 1.0)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--seconds", "4-8"], Stretch(4.0, 8.0)),
        (["--bars", "3-4", "--bpm", "120"], Stretch(4.0, 8.0)),
        (["--bars", "3", "--bpm", "120"], Stretch(4.0, 6.0)),
        (["--bars", "3-4"], "--bars without --bpm"),
        (["--seconds", "later"], "expected A-B"),
        (["--bars", "x", "--bpm", "120"], "expected A-B"),
    ],
)
def test_the_command(
    arguments: list[str],
    expected: Stretch | str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    jobs: list[InfillJob] = []
    monkeypatch.setattr(infill_file, "run_infill", jobs.append)
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    plain = ["in.wav", "--out", "out.wav", "--model", "folder", "--seed", "3"]
    code = command.run(parser.parse_args([*plain, *arguments]))
    if isinstance(expected, str):
        assert code == 2 and expected in capsys.readouterr().err
    else:
        assert code == 0 and jobs[0].stretch == expected and jobs[0].parameters == {"seed": 3}


def test_a_file_that_is_not_there(folder: Path, recording: Path) -> None:
    with pytest.raises(MusicgenRTError, match=r"nothing\.wav"):
        run_infill(replace(job(folder, recording, 0.8, 1.2), audio=Path("nothing.wav")))
