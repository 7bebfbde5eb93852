"""Reading and writing audio files, and what happens when that cannot work."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from musicgen_rt.errors import AudioFileError, ParameterError
from musicgen_rt.offline.audio_file import (
    AudioWriter,
    Encoding,
    audio_blocks,
    audio_info,
    read_audio,
)

RATE_HZ = 32000


def noise(channels: int, num_samples: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(-0.5, 0.5, (channels, num_samples)).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "encoding", "tolerance"),
    [
        ("a.wav", None, 0.0),
        ("a.wav", "float32", 0.0),
        ("a.WAV", "pcm_24", 2**-23),
        ("a.flac", None, 2**-23),
        ("a.flac", "pcm_24", 2**-23),
    ],
)
def test_written_in_blocks_and_read_by_soundfile(
    tmp_path: Path, name: str, encoding: Encoding | None, tolerance: float
) -> None:
    samples = noise(2, 10_000)
    with AudioWriter(tmp_path / name, RATE_HZ, 2, encoding) as writer:
        for block in np.array_split(samples, 7, axis=1):
            writer.write(block)
        writer.write(samples[:, :0])
        assert not (tmp_path / name).exists()
    assert os.listdir(tmp_path) == [name]
    expected_subtype = "FLOAT" if writer.encoding == "float32" else "PCM_24"
    assert soundfile.info(tmp_path / name).subtype == expected_subtype
    actual, rate_hz = soundfile.read(tmp_path / name, dtype="float32", always_2d=True)
    assert rate_hz == RATE_HZ
    assert np.abs(actual.T - samples).max() <= tolerance


def test_pcm_clips_and_does_not_wrap_around(tmp_path: Path) -> None:
    with AudioWriter(tmp_path / "loud.flac", RATE_HZ, 1) as writer:
        writer.write(np.array([[1.5, -1.5, 1.0, -1.0]], np.float32))
    read = read_audio(tmp_path / "loud.flac")
    np.testing.assert_allclose(read, [[1, -1, 1, -1]], atol=2**-23)


def test_an_exception_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"old")

    def fail_in_the_middle() -> None:
        with AudioWriter(path, RATE_HZ, 1) as writer:
            writer.write(noise(1, 100))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_in_the_middle()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.wav"]


def test_closing_replaces_and_closing_twice_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"old")
    writer = AudioWriter(path, RATE_HZ, 1)
    writer.write(noise(1, 100))
    writer.close()
    writer.close()
    writer.abort()
    assert audio_info(path).num_samples == 100


def test_wav_beyond_four_gibibytes(tmp_path: Path) -> None:
    with AudioWriter(tmp_path / "long.wav", RATE_HZ, 2, expected_samples=2**30) as writer:
        writer.write(noise(2, 10))
    assert soundfile.info(tmp_path / "long.wav").format == "RF64"
    writer = AudioWriter(tmp_path / "unexpected.wav", RATE_HZ, 2)
    writer.num_samples = 2**29  # as if 4 GiB had been written
    with pytest.raises(AudioFileError, match=r"4 GiB.*\.flac"):
        writer.write(noise(2, 10))
    writer.abort()


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may grow beyond 100 kB, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_disk_full(tmp_path: Path, name: str) -> None:
    def write_too_much() -> None:
        with AudioWriter(tmp_path / name, RATE_HZ, 2) as writer:
            for seed in range(100):
                writer.write(noise(2, 4096, seed))

    with pytest.raises(AudioFileError, match="has room"):
        write_too_much()
    assert os.listdir(tmp_path) == []


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
@pytest.mark.parametrize("num_samples", range(12_300, 17_500, 400))
def test_disk_full_at_the_very_end(tmp_path: Path, name: str, num_samples: int) -> None:
    """Around the limit: either the file is whole or there is an error and no file."""
    try:
        with AudioWriter(tmp_path / name, RATE_HZ, 2) as writer:
            writer.write(noise(2, num_samples))
    except AudioFileError:
        assert os.listdir(tmp_path) == []
    else:
        assert read_audio(tmp_path / name).shape == (2, num_samples)


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(AudioFileError, match="cannot be written"):
        AudioWriter(tmp_path / "no folder" / "a.wav", RATE_HZ, 1)
    (tmp_path / "folder.wav").mkdir()
    writer = AudioWriter(tmp_path / "folder.wav", RATE_HZ, 1)
    with pytest.raises(AudioFileError, match="cannot be written"):
        writer.close()
    assert os.listdir(tmp_path) == ["folder.wav"]


def test_writer_parameters(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"\.wav or \.flac"):
        AudioWriter(tmp_path / "a.mp3", RATE_HZ, 1)
    with pytest.raises(ParameterError, match="pcm_24"):
        AudioWriter(tmp_path / "a.flac", RATE_HZ, 1, "float32")
    with pytest.raises(ParameterError, match="sample_rate_hz"):
        AudioWriter(tmp_path / "a.wav", 0, 1)
    with pytest.raises(ParameterError, match="channels"):
        AudioWriter(tmp_path / "a.wav", RATE_HZ, 9)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("bad", [np.zeros(5), np.zeros((2, 5)), np.array([[np.nan]])])
def test_writer_refuses_samples(tmp_path: Path, bad: np.ndarray) -> None:
    with (
        pytest.raises(AudioFileError, match="expected"),
        AudioWriter(tmp_path / "a.wav", RATE_HZ, 1) as writer,
    ):
        writer.write(bad.astype(np.float32))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("rate_hz", "name"), [(44100, "a.wav"), (48000, "a.flac"), (8000, "a.ogg")]
)
def test_read_resamples_as_soxr_does_at_once(tmp_path: Path, rate_hz: int, name: str) -> None:
    soundfile.write(tmp_path / name, noise(2, 150_000).T, rate_hz)
    decoded, _ = soundfile.read(tmp_path / name, dtype="float32")
    expected = soxr.resample(decoded, rate_hz, RATE_HZ).T
    actual = read_audio(tmp_path / name, RATE_HZ)
    assert actual.dtype == np.float32
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, atol=1e-6)


def test_read_mixes_channels(tmp_path: Path) -> None:
    stereo, mono = noise(2, 1000), noise(1, 1000, seed=1)
    soundfile.write(tmp_path / "stereo.wav", stereo.T, RATE_HZ, subtype="FLOAT")
    soundfile.write(tmp_path / "mono.wav", mono.T, RATE_HZ, subtype="FLOAT")
    soundfile.write(tmp_path / "surround.wav", noise(6, 1000).T, RATE_HZ, subtype="FLOAT")
    as_mono = read_audio(tmp_path / "stereo.wav", channels=1)
    np.testing.assert_allclose(as_mono, (stereo[:1] + stereo[1:]) / 2, atol=1e-7)
    np.testing.assert_array_equal(read_audio(tmp_path / "mono.wav", channels=2)[1:], mono)
    assert read_audio(tmp_path / "surround.wav", channels=1).shape == (1, 1000)
    with pytest.raises(AudioFileError, match="6 channels"):
        read_audio(tmp_path / "surround.wav", channels=2)


def test_blocks_are_the_whole_file(tmp_path: Path) -> None:
    samples = noise(2, 10_001)
    soundfile.write(tmp_path / "a.wav", samples.T, RATE_HZ, subtype="FLOAT")
    blocks = list(audio_blocks(tmp_path / "a.wav", 1000))
    assert [block.shape[1] for block in blocks] == [1000] * 10 + [1]
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), samples)


def test_unreadable_files(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "whole.flac", noise(1, 100_000).T, RATE_HZ)
    whole = (tmp_path / "whole.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.wav").write_text("not audio at all " * 50)
    (tmp_path / "nothing.wav").write_bytes(b"")
    (tmp_path / "data.raw").write_bytes(b"\0" * 400)
    soundfile.write(tmp_path / "empty.wav", np.zeros((0, 1)), RATE_HZ)
    nan = np.full((70_000, 1), np.nan, np.float32)
    soundfile.write(tmp_path / "nan.wav", nan, RATE_HZ, subtype="FLOAT")
    os.mkfifo(tmp_path / "pipe.wav")
    for name, message in [
        ("missing.wav", "does not exist"),
        (".", "not a regular file"),
        ("pipe.wav", "not a regular file"),
        ("text.wav", "cannot be read as audio"),
        ("nothing.wav", "cannot be read as audio"),
        ("data.raw", "cannot be read as audio"),
        ("cut.flac", "cannot be read as audio"),
        ("empty.wav", "no samples"),
        ("nan.wav", "NaN"),
    ]:
        with pytest.raises(AudioFileError, match=message):
            read_audio(tmp_path / name, 44100)


def test_length_limit(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(1, RATE_HZ).T, RATE_HZ)
    assert read_audio(tmp_path / "a.wav", max_seconds=1.0).shape == (1, RATE_HZ)
    with pytest.raises(AudioFileError, match=r"longer than 0\.99 s"):
        read_audio(tmp_path / "a.wav", max_seconds=0.99)


def test_impossible_wishes(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="sample_rate_hz"):
        read_audio(tmp_path / "a.wav", 0)
    with pytest.raises(ParameterError, match="channels"):
        read_audio(tmp_path / "a.wav", RATE_HZ, 3)
