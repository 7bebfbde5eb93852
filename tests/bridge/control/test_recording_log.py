"""What is written beside a recording: what was asked, what happened, and at which beats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bridge.control.recording_log import log_path
from tests.bridge.control.rig import HOP, Rig

PATIENCE_SECONDS = 20.0


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    return tmp_path / "take.flac"


def record(rig: Rig, sound: Path, is_on: bool) -> None:
    """The playout says that a recording has begun or ended."""
    message = {"type": "recording", "path": str(sound), "samples": 0, "is_on": is_on}
    rig.dispatcher.from_playout(message)


def end(rig: Rig, sound: Path) -> list[dict[str, Any]]:
    """End the recording; the lines of its log."""
    writer = rig.dispatcher._recording_log._writer
    assert writer is not None
    record(rig, sound, is_on=False)
    writer._thread.join(PATIENCE_SECONDS)
    assert not writer._thread.is_alive()
    return [json.loads(line) for line in log_path(sound).read_text().splitlines()]


def test_a_log_has_the_commands_that_were_carried_out_by_the_beat_they_are_heard_from(
    tmp_path: Path, sound: Path
) -> None:
    rig = Rig(tmp_path, bpm=120.0).start()
    rig.send("/mgrt/param/set/top_k", 3)
    rig.apply(frame=25)
    rig.advance(2.0)
    record(rig, sound, is_on=True)
    rig.advance(0.5)
    for value in (1.0, 2.0, 3.0):  # a fader: the engine gets the first and the last
        rig.send("/mgrt/param/set/cfg", value)
    rig.apply(frame=200)
    rig.apply(frame=225)
    rig.send("/mgrt/gen/undo", 2)
    rig.refuse("too far")
    rig.send("/mgrt/gen/undo", 70)
    rig.send("/mgrt/status")
    rig.send("/mgrt/param/get/cfg")
    rig.send("/mgrt/attr/set", "drums", "off", "bar")
    rig.apply(frame=300)
    rig.advance(0.25)
    rig.dispatcher.from_playout({"type": "fallback", "is_on": True})
    rig.send("/mgrt/clock/tempo", 60.0)
    rig.send("/mgrt/audio/mute", 1)
    rig.apply_playout(sample=400 * HOP)
    beginning, *lines = end(rig, sound)
    # At 120 beats a minute and 50 frames a second a beat has 25 frames.
    assert (beginning["recording"], beginning["model"]) == ("take.flac", "pocket")
    assert (beginning["beat"], beginning["bpm"]) == (4.0, 120.0)
    assert ["/mgrt/state/param", "top_k", 3] in beginning["state"]
    commands = [(line["beat"], *line["command"]) for line in lines if "command" in line]
    assert commands[:3] == [
        (8.0, "/mgrt/param/set/cfg", 1.0),
        (9.0, "/mgrt/param/set/cfg", 3.0),
        (12.0, "/mgrt/attr/set", "drums", "off"),
    ]
    assert [one[1:] for one in commands[3:]] == [
        ("/mgrt/clock/tempo", 60.0, 0.0),
        ("/mgrt/audio/mute", 1),
    ]
    told = [(line["seconds"], line["event"]) for line in lines if "event" in line]
    assert (0.75, ["/mgrt/fallback", 1]) in told
    assert not [event for _, event in told if event[0] == "/mgrt/heartbeat"]


def test_a_log_that_cannot_be_written_is_told_and_the_recording_goes_on(
    tmp_path: Path, sound: Path
) -> None:
    rig = Rig(tmp_path).start()
    rig.subscribe()
    log_path(sound).write_text("an older one")
    record(rig, sound, is_on=True)
    told = [one for one in rig.take(rig.client(99)) if one[0] == "/mgrt/error"]
    assert [one[1] for one in told] == ["recording"]
    assert "take.flac.jsonl" in told[0][2]
    rig.send("/mgrt/gen/undo")
    rig.apply()
    assert rig.session.recording is not None
    assert log_path(sound).read_text() == "an older one"


def test_without_a_recording_nothing_is_written(tmp_path: Path) -> None:
    rig = Rig(tmp_path).start()
    rig.send("/mgrt/gen/undo")
    rig.apply()
    rig.advance(1.0)
    assert not list(tmp_path.rglob("*.jsonl"))
