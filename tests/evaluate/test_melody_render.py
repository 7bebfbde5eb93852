"""`render --plot`: the picture lies beside the audio; without a melody it is refused at once."""

from __future__ import annotations

from pathlib import Path

import mido
import pytest

from bridge.cli import main


def test_a_render_with_a_melody_is_drawn(
    tiny_frame_conditioned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    track = mido.MidiTrack()
    for pitch in (60, 64, 67):
        track.append(mido.Message("note_on", note=pitch, velocity=100, time=0))
        track.append(mido.Message("note_off", note=pitch, time=240))
    midi = mido.MidiFile(ticks_per_beat=480)
    midi.tracks.append(track)
    midi.save(tmp_path / "tune.mid")
    out, picture = tmp_path / "take.wav", tmp_path / "take.png"
    plain = ["--model", str(tiny_frame_conditioned), "--quiet", "--seconds", "2", "--bpm", "120"]
    melody = ["--melody", str(tmp_path / "tune.mid"), "--plot", str(picture)]
    assert main(["render", *plain, *melody, "--out", str(out)]) == 0
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    again = tmp_path / "again.png"
    arguments = ["--from", str(out.with_suffix(".json")), "--out", str(tmp_path / "again.wav")]
    assert main(["render", *arguments, "--quiet", "--plot", str(again)]) == 0
    assert again.exists()
    bare = tmp_path / "bare.wav"
    assert main(["render", *plain, "--plot", str(again), "--out", str(bare)]) == 2
    assert "--plot draws a melody: expected --melody" in capsys.readouterr().err
    wrong = [*arguments[:-1], str(bare), "--plot", str(tmp_path / "none" / "picture.png")]
    assert main(["render", *wrong]) != 0
    assert "cannot be written" in capsys.readouterr().err
    assert not bare.exists()
