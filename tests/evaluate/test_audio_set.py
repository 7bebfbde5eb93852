"""Folders of audio: found, paired by name, and refused with a reason before any work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from musicgen_rt.errors import AudioFileError, MusicgenRTError, ParameterError
from musicgen_rt.evaluate.audio_set import audio_set, check_comparable

RATE_HZ = 16_000


def write(path: Path, samples: np.ndarray | None = None, rate_hz: int = RATE_HZ) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if samples is None:
        samples = 0.1 * np.random.default_rng(0).standard_normal(RATE_HZ)
    soundfile.write(path, samples, rate_hz, subtype="FLOAT")
    return path


def test_a_folder_is_read_in_order_and_mixed_to_mono(tmp_path: Path) -> None:
    stereo = np.stack([np.full(800, 0.2), np.full(800, 0.4)], axis=1)
    write(tmp_path / "b.wav", stereo)
    write(tmp_path / "deep" / "a.wav")
    (tmp_path / "notes.txt").write_text("no audio")
    found = audio_set(tmp_path)
    assert found.names == ("b", "deep/a")
    assert found.rate_hz == RATE_HZ
    assert found.seconds == pytest.approx(1.05)
    np.testing.assert_allclose(found.clip("b").samples, 0.3, atol=1e-6)


def test_rates_are_brought_together_when_asked(tmp_path: Path) -> None:
    write(tmp_path / "a.wav")
    write(tmp_path / "b.wav", rate_hz=8000)
    found = audio_set(tmp_path, 8000)
    assert [round(clip.seconds, 2) for clip in found.clips()] == [1.0, 2.0]


def _one(folder: Path) -> None:
    write(folder / "a.wav")


def _mixed(folder: Path) -> None:
    write(folder / "a.wav")
    write(folder / "b.wav", rate_hz=8000)


def _silent(folder: Path) -> None:
    write(folder / "a.wav")
    write(folder / "b.wav", np.full(RATE_HZ, 1e-5))


def _nan(folder: Path) -> None:
    write(folder / "a.wav")
    samples = np.zeros(RATE_HZ)
    samples[99] = np.nan
    write(folder / "b.wav", samples)


def _short(folder: Path) -> None:
    write(folder / "a.wav")
    write(folder / "b.wav", np.full(4000, 0.1))


def _damaged(folder: Path) -> None:
    write(folder / "a.wav")
    (folder / "b.flac").write_bytes(b"fLaC no more")


def _twice(folder: Path) -> None:
    write(folder / "a.wav")
    soundfile.write(folder / "a.flac", np.full(RATE_HZ, 0.1), RATE_HZ)


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (_one, ParameterError, "1 audio files: expected 2 or more"),
        (_mixed, ParameterError, r"mixes rates .*8000 Hz.*--rate 8000"),
        (_silent, AudioFileError, r"b\.wav is silent"),
        (_nan, AudioFileError, r"b\.wav holds NaN"),
        (_short, AudioFileError, r"b\.wav lasts 0\.25 s: expected 0\.5 s"),
        (_damaged, AudioFileError, r"b\.flac cannot be read"),
        (_twice, ParameterError, "a in two formats"),
    ],
)
def test_a_bad_set_is_refused_with_its_reason(
    tmp_path: Path, make: Callable[[Path], None], error: type[MusicgenRTError], said: str
) -> None:
    make(tmp_path)
    with pytest.raises(error, match=said):
        audio_set(tmp_path, shortest_seconds=0.5)


def test_a_missing_folder_and_an_impossible_rate_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="is not a folder"):
        audio_set(tmp_path / "none")
    with pytest.raises(ParameterError, match="the rate is 10 Hz"):
        audio_set(tmp_path, 10)


def test_sets_of_two_rates_and_one_set_twice_are_refused(tmp_path: Path) -> None:
    for name, rate_hz in (("one", RATE_HZ), ("other", 8000)):
        for clip in "ab":
            write(tmp_path / name / f"{clip}.wav", rate_hz=rate_hz)
    one, other = audio_set(tmp_path / "one"), audio_set(tmp_path / "other")
    with pytest.raises(ParameterError, match="--rate 8000 brings both"):
        check_comparable(one, other)
    with pytest.raises(ParameterError, match="given twice"):
        check_comparable(one, one)
