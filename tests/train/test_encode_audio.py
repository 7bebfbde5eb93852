"""A folder of somebody's audio, encoded: what it may hold, and what must be done anew."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from musicgen_rt.errors import AudioFileError, ParameterError
from musicgen_rt.train.clip_sources import audio_pieces
from musicgen_rt.train.lm_encode import EncodeConfig, encode_clips
from musicgen_rt.train.lm_records import PITCH_UNKNOWN, REST, ClipLibrary
from tests.train.lm_tiny import write_codec


def tone(seconds: float, rate_hz: int, pitch: float = 69) -> np.ndarray:
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    hertz = 440 * 2 ** ((pitch - 69) / 12)
    return (0.4 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate_hz: int = 32_000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate_hz, subtype="FLOAT" if path.suffix == ".wav" else None)
    return path


def config_of(folder: Path) -> EncodeConfig:
    return EncodeConfig(
        str(folder / "clips"), str(write_codec(folder / "codec")), audio=str(folder / "audio"),
        clip_seconds=2.0, clips_per_shard=2, workers=0,
    )  # fmt: skip


def encode(config: EncodeConfig) -> ClipLibrary:
    encode_clips(config, lambda text: None)
    return ClipLibrary(Path(config.folder))


def test_files_of_any_rate_and_width_become_one_codecs_frames(tmp_path: Path) -> None:
    audio = tmp_path / "audio"
    write(audio / "a.flac", tone(2, 44_100), 44_100)
    write(audio / "deep/b.wav", np.stack([tone(2, 48_000)] * 2, axis=1), 48_000)
    write(audio / "c.wav", tone(2, 8_000), 8_000)
    (audio / "._c.wav").write_bytes(b"what some systems put beside a file")
    library = encode(config_of(tmp_path))
    assert [clip.name for clip in library.clips] == ["a.flac@0", "c.wav@0", "b.wav@0"]
    assert {clip.frames for clip in library.clips} == {96}


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    audio, config = tmp_path / "audio", config_of(tmp_path)
    with pytest.raises(ParameterError, match="no audio files"):
        encode(config)
    short = write(audio / "click.wav", tone(0.1, 32_000))
    with pytest.raises(ParameterError, match=r"click\.wav lasts 0\.100 s"):
        encode(config)
    short.unlink()
    broken = audio / "broken.flac"
    broken.write_bytes(b"fLaC and no more")
    with pytest.raises(AudioFileError, match=r"broken\.flac"):
        encode(config)
    broken.unlink()
    samples = tone(2, 32_000)
    samples[9] = np.nan
    write(audio / "bad.wav", samples)
    with pytest.raises(AudioFileError, match=r"bad\.wav holds NaN"):
        encode(config)
    # Nothing was encoded, so another folder of audio is as good.
    write(tmp_path / "other/good.wav", tone(2, 32_000))
    assert len(encode(replace(config, audio=str(tmp_path / "other"))).clips) == 1


def test_a_folder_that_has_changed_and_a_damaged_shard_are_encoded_again(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    for name in "bc":
        write(tmp_path / f"audio/{name}.wav", tone(2, 32_000))
    assert len(encode(config).clips) == 2
    first = tmp_path / "clips/shard-00000.safetensors"
    written = first.stat().st_mtime_ns
    encode(config)
    assert first.stat().st_mtime_ns == written
    write(tmp_path / "audio/a.wav", tone(2, 32_000))
    names = [clip.name for clip in encode(config).clips]
    assert names == ["a.wav@0", "b.wav@0", "c.wav@0"], "each once"
    first.write_bytes(first.read_bytes()[:99])
    assert len(encode(config).clips) == 3


def test_pieces_of_one_file_are_its_own_stretches(tmp_path: Path) -> None:
    parts = [tone(2, 32_000, pitch) for pitch in (60, 64, 67)]
    path = write(tmp_path / "audio/long.wav", np.concatenate([*parts, parts[0][:3200]]))
    assert [start for _, start in audio_pieces(path.parent, 2.0)] == [0.0, 2.0, 4.0]
    library = encode(replace(config_of(tmp_path), tracks_melody=True))
    for index, pitch in enumerate((60, 64, 67)):
        _, truth = library.window(index, 0, 96)
        assert np.mean(truth.pitch_class == pitch % 12) > 0.95


def test_a_melody_that_is_annotated_is_not_listened_for(tmp_path: Path) -> None:
    silent = np.zeros(32_000, np.float32)
    samples = np.concatenate([tone(1, 32_000, 62), silent])
    for name in ("plain", "said"):
        write(tmp_path / f"audio/{name}.wav", samples)
    notes = [{"pitch": 65, "start_seconds": 0.0, "end_seconds": 1.0}]
    said = tmp_path / "audio/said.json"
    said.write_text(json.dumps({"lead_notes": notes}), encoding="utf-8")
    config = config_of(tmp_path)
    library = encode(config)
    assert (library.window(0, 0, 96)[1].pitch_class == PITCH_UNKNOWN).all()
    heard = encode(replace(config, folder=str(tmp_path / "heard"), tracks_melody=True))
    plain, annotated = (heard.window(index, 0, 96)[1].pitch_class for index in (0, 1))
    # A window of half a second is heard: the edge is blurred.
    assert (plain[:35] == 2).all() and (plain[75:] == REST).all()
    assert (annotated[:50] == 5).all() and (annotated[50:] == REST).all()
