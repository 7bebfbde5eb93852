"""Recordings: what is read back, and that nothing makes the pump wait."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from bridge.playout.recorder import Recording, RecordingEnded
from musicgen_rt.errors import AudioFileError

RATE_HZ = 48000


def _block(count: int = 240, level: float = 0.5) -> NDArray[np.float32]:
    return np.random.default_rng(count).uniform(-level, level, (count, 2)).astype(np.float32)


def _ended(recording: Recording) -> RecordingEnded:
    recording.stop()
    recording.wait(60)
    assert recording.ended is not None
    return recording.ended


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".WAV"])
def test_what_was_written_is_read_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"take{suffix}"
    recording = Recording(path, RATE_HZ, 2)
    blocks = [_block(count) for count in (240, 1, 4800)]
    for block in blocks:
        recording.write(block)
    assert _ended(recording) == RecordingEnded(str(path), 5041, 0, None)
    samples, rate_hz = soundfile.read(path, dtype="float32")
    assert rate_hz == RATE_HZ
    np.testing.assert_allclose(samples, np.concatenate(blocks), atol=2**-23)


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "take.wav"
    path.write_bytes(b"precious")
    with pytest.raises(AudioFileError, match="exists already"):
        Recording(path, RATE_HZ, 2)
    assert path.read_bytes() == b"precious"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "take.wav").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AudioFileError):
        Recording(tmp_path / "take.wav", RATE_HZ, 2)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("name", ["take", "take.mp3", "take.wav.exe"])
def test_other_formats_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(AudioFileError, match=r"\.wav or \.flac"):
        Recording(tmp_path / name, RATE_HZ, 2)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(AudioFileError, match="No such file"):
        Recording(tmp_path / "nowhere" / "take.wav", RATE_HZ, 2)


def test_a_writer_that_fails_tells_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = Recording(tmp_path / "take.wav", RATE_HZ, 2)
    recording.write(_block())

    def fail(*_: object) -> None:
        raise soundfile.LibsndfileError(2)

    monkeypatch.setattr(soundfile.SoundFile, "write", fail)
    recording.write(_block())
    recording.wait(60)
    assert recording.ended is not None
    assert recording.ended.error
    samples, _ = soundfile.read(tmp_path / "take.wav")
    assert len(samples) == recording.ended.samples
