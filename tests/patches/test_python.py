"""The Python examples, run as a musician runs them."""

from __future__ import annotations

import sys
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile

from tests.bridge.daemon_rig import DaemonProcess, OscClient
from tests.bridge.tone_engine import AMPLITUDE, TONE_HZ
from tests.patches.script import Script, endpoints

PATCHES = Path(__file__).resolve().parents[2] / "patches" / "python"


def test_the_client_sets_a_prompt_and_plays_a_phrase(daemon: DaemonProcess, tmp_path: Path) -> None:
    ear = OscClient(daemon.ports()["osc"])
    ear.send("/mgrt/notify", 1)
    ports = daemon.ports()
    words = [
        "--prompt",
        "string quartet",
        "--bars",
        "1",
        *endpoints(ports["command"], ports["publish"]),
    ]
    with Script([sys.executable, PATCHES / "client.py", *words], tmp_path) as client:
        ear.wait(lambda m: m[:3] == ("/mgrt/state/prompt", 0, "string quartet"), 60)
        ear.wait(lambda m: m[:2] == ("/mgrt/state/melody", "follow"), 60)
        assert client.wait_end() == 0
    ear.wait(lambda m: m[:2] == ("/mgrt/state/melody", "off"), 60)
    ear.close()
    assert any("/done /mgrt/prompt/set" in line for line in client.printed)
    assert sum("at 120 BPM" in line for line in client.printed) == 4
    assert not any("/fail" in line for line in client.printed)


def test_the_client_has_forty_lines() -> None:
    text = (PATCHES / "client.py").read_text(encoding="utf-8")
    assert sum(bool(line.strip()) for line in text.splitlines()) <= 40


def until_peak(daemon: DaemonProcess, peak_db: float) -> None:
    """Wait until the daemon's meter shows a level."""
    daemon.until_status(lambda status: abs(status["peak_db"] - peak_db) < 1)


def write_scale(path: Path, beats: int) -> None:
    """A MIDI file with two notes a beat."""
    file = mido.MidiFile(ticks_per_beat=480)
    track = mido.MidiTrack()
    file.tracks.append(track)
    for n in range(2 * beats):
        track.append(mido.Message("note_on", note=60 + n, velocity=90, time=0))
        track.append(mido.Message("note_off", note=60 + n, velocity=0, time=240))
    file.save(path)


def test_a_midi_file_is_followed_in_time(daemon: DaemonProcess, tmp_path: Path) -> None:
    write_scale(tmp_path / "scale.mid", beats=4)
    words = ["scale.mid", "--times", "2", "--port", str(daemon.ports()["osc"])]
    with Script([sys.executable, PATCHES / "midi_jam.py", *words], tmp_path) as jam:
        assert jam.wait_end() == 0
    beats = [line for line in jam.printed if line.startswith("beat")]
    assert beats == [f"beat {n % 4 + 1} of 4: 4 notes" for n in range(8)]
    assert not any("/fail" in line for line in jam.printed)


def test_a_midi_file_without_notes_and_one_that_is_none_are_refused(tmp_path: Path) -> None:
    mido.MidiFile().save(tmp_path / "empty.mid")
    (tmp_path / "none.mid").write_text("no MIDI at all")
    for name, reason in (("empty.mid", "no notes"), ("none.mid", "cannot be read")):
        with Script([sys.executable, PATCHES / "midi_jam.py", name], tmp_path) as jam:
            assert jam.wait_end() == 1
        assert reason in jam.printed[-1]


def test_the_sound_comes_as_arrays_and_a_change_is_heard(
    daemon: DaemonProcess, tmp_path: Path
) -> None:
    endpoint = f"tcp://127.0.0.1:{daemon.ports()['publish']}"
    words = ["take.wav", "--seconds", "1", "--events", endpoint]
    levels = []
    for gain_db in (0.0, -12.0):
        assert daemon.client.ask("/mgrt/audio/gain_db", gain_db, 0)[0] == "/done"
        until_peak(daemon, gain_db + 20 * np.log10(AMPLITUDE))
        with Script([sys.executable, PATCHES / "pcm.py", *words], tmp_path) as recorder:
            assert recorder.wait_end() == 0
        samples, rate_hz = soundfile.read(tmp_path / "take.wav", always_2d=True)
        spectrum = np.abs(np.fft.rfft(samples[:rate_hz, 0] * np.hanning(rate_hz)))
        assert spectrum.argmax() == pytest.approx(TONE_HZ, abs=1)
        levels.append(float(np.sqrt((samples[:, 0] ** 2).mean())))
    daemon.client.ask("/mgrt/audio/gain_db", 0.0, 0)
    loud = AMPLITUDE / np.sqrt(2)
    assert levels == pytest.approx([loud, loud * 10 ** (-12 / 20)], rel=0.05)
