"""Melodies from MIDI and audio files, whole and damaged."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile

from musicgen_rt.errors import AudioFileError, ParameterError
from musicgen_rt.live.melody import AudioMelody, NoteMelody
from musicgen_rt.live.melody_file import melody_from_file, read_midi_notes
from musicgen_rt.model.chroma import REST_CLASS, ChromaExtractor

TICKS = 480


def save(path: Path, *tracks: list[mido.Message | mido.MetaMessage], kind: int = 1) -> Path:
    midi = mido.MidiFile(type=kind, ticks_per_beat=TICKS)
    midi.tracks.extend(mido.MidiTrack(track) for track in tracks)
    midi.save(path)
    return path


def on(pitch: int, ticks: int = 0, channel: int = 0, velocity: int = 100) -> mido.Message:
    return mido.Message("note_on", note=pitch, velocity=velocity, time=ticks, channel=channel)


def off(pitch: int, ticks: int = TICKS, channel: int = 0) -> mido.Message:
    return mido.Message("note_off", note=pitch, time=ticks, channel=channel)


def tempo(bpm: float, ticks: int = 0) -> mido.MetaMessage:
    return mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(bpm), time=ticks)


def test_tempo_map(tmp_path: Path) -> None:
    path = save(
        tmp_path / "a.mid",
        [tempo(120), tempo(60, 2 * TICKS)],
        [on(60), off(60), on(62), off(62), on(64), off(64)],
    )
    notes, seconds = read_midi_notes(path)
    got = [(n.pitch, n.start_seconds, n.end_seconds) for n in notes]
    assert got == [(60, 0.0, 0.5), (62, 0.5, 1.0), (64, 1.0, 2.0)]
    assert seconds == 2.0


def test_all_channels_but_drums_and_the_top_line(tmp_path: Path) -> None:
    end = mido.MetaMessage("end_of_track", time=2 * TICKS)
    path = save(
        tmp_path / "a.MID",
        [tempo(120)],
        [on(72, channel=1), off(72, channel=1), end],
        [on(48, channel=2), on(48, 2 * TICKS, channel=2, velocity=0)],
        [on(90, channel=9), off(90, 4 * TICKS, channel=9)],
    )
    melody = melody_from_file(path)
    assert isinstance(melody, NoteMelody)
    assert [n.pitch for n in melody.notes] == [72, 48]
    assert melody.length_seconds == melody.loop_seconds == 2.0
    assert melody.rest == "hold"
    assert melody.frame_classes(0, 100).tolist() == [0] * 50 + [REST_CLASS] * 50
    low = melody_from_file(path, line="low", loop=False, rest="null")
    assert low.loop_seconds is None
    assert low.rest == "null"


def test_same_pitch_twice_and_a_note_never_released(tmp_path: Path) -> None:
    end = mido.MetaMessage("end_of_track", time=TICKS)
    path = save(
        tmp_path / "a.mid", [on(60), on(60, TICKS), off(60, TICKS), off(60, TICKS), on(65), end]
    )
    notes, seconds = read_midi_notes(path)
    got = [(n.pitch, n.start_seconds, n.end_seconds) for n in notes]
    assert got == [(60, 0.0, 1.0), (60, 0.5, 1.5), (65, 1.5, 2.0)]
    assert seconds == 2.0


def test_unusable_midi(tmp_path: Path) -> None:
    only_drums = save(tmp_path / "drums.mid", [on(36, channel=9), off(36, channel=9)])
    no_length = save(tmp_path / "none.mid", [on(60), off(60, 0)])
    too_long = save(tmp_path / "long.mid", [on(60), off(60, 8000 * TICKS)])
    short = save(tmp_path / "short.mid", [on(60), off(60, 20)])
    apart = save(tmp_path / "apart.mid", [on(60), off(60)], kind=2)
    whole = save(tmp_path / "whole.mid", [on(60), off(60)])
    film = bytearray(whole.read_bytes())
    film[12:14] = b"\xe7\x28"  # 25 film frames a second, 40 ticks each
    (tmp_path / "film.mid").write_bytes(film)
    (tmp_path / "cut.mid").write_bytes(whole.read_bytes()[:-3])
    (tmp_path / "text.mid").write_text("not MIDI at all")
    (tmp_path / "empty.mid").write_bytes(b"")
    (tmp_path / "huge.mid").write_bytes(bytes(2**22 + 1))
    (tmp_path / "endless.mid").write_bytes(whole.read_bytes()[:22] + b"\xff" * 2**21)
    for path, message in [
        (only_drums, "no notes beside drums"),
        (no_length, "no notes"),
        (too_long, "lasts 4000 s: expected at most 3600"),
        (short, "to loop"),
        (apart, "format 0 or 1"),
        (tmp_path / "film.mid", "film frames"),
        (tmp_path / "cut.mid", "cannot be read as MIDI"),
        (tmp_path / "text.mid", "cannot be read as MIDI"),
        (tmp_path / "empty.mid", "cannot be read as MIDI"),
        (tmp_path / "huge.mid", "at most 4194304"),
        (tmp_path / "endless.mid", "without end"),
        (tmp_path / "missing.mid", "does not exist"),
        (tmp_path, "cannot be read|not a regular file"),
    ]:
        with pytest.raises(AudioFileError, match=message):
            melody_from_file(path)
    with pytest.raises(ParameterError, match="top, low"):
        melody_from_file(whole, line="middle")  # type: ignore[arg-type]


def test_the_length_of_a_file_in_beats_is_told_in_beats(tmp_path: Path) -> None:
    path = save(tmp_path / "long.mid", [on(60), off(60, 8000 * TICKS)])
    with pytest.raises(AudioFileError, match="lasts 8000 beats: expected at most 3600"):
        read_midi_notes(path, seconds_per_beat=1.0)


def test_damaged_midi_is_read_or_refused_but_nothing_else(tmp_path: Path) -> None:
    path = save(
        tmp_path / "a.mid",
        [tempo(100), mido.MetaMessage("key_signature", key="Eb"), tempo(90, 999)],
        [m for pitch in range(60, 75) for m in (on(pitch), off(pitch))],
    )
    whole = path.read_bytes()
    rng = random.Random(7)
    for _ in range(400):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 6)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path.write_bytes(damaged)
        with contextlib.suppress(AudioFileError):
            assert melody_from_file(path, loop=False).length_seconds > 0


def test_audio_melody(tmp_path: Path) -> None:
    rate_hz = 44100
    t = np.arange(2 * rate_hz) / rate_hz
    tones = [np.sin(2 * np.pi * f * t) + 0.5 * np.sin(4 * np.pi * f * t) for f in (440.0, 523.25)]
    silence = np.zeros(2 * rate_hz)
    mono = 0.3 * np.concatenate([tones[0], silence, tones[1]])
    soundfile.write(tmp_path / "a.flac", np.stack([mono, mono * 0.5], axis=1), rate_hz)
    melody = melody_from_file(tmp_path / "a.flac", extractor=ChromaExtractor())
    assert isinstance(melody, AudioMelody)
    assert melody.length_seconds == melody.loop_seconds == pytest.approx(6.0)
    assert melody.rest == "null"
    assert melody.frame_classes(10, 70).tolist() == [9] * 70
    assert melody.frame_classes(125, 50).tolist() == [REST_CLASS] * 50
    assert melody.frame_classes(220, 70).tolist() == [0] * 70
    assert melody.frame_classes(310, 70).tolist() == [9] * 70


def test_audio_that_is_no_melody(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silent.wav", np.zeros(32000), 32000)
    with pytest.raises(AudioFileError, match="silent"):
        melody_from_file(tmp_path / "silent.wav")
    with pytest.raises(AudioFileError, match="does not exist"):
        melody_from_file(tmp_path / "missing.wav")
