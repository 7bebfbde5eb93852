"""Songs and infills over the wire: files of one folder, the clock's part, and what is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.clock.host_sources import host_sources
from bridge.clock.midi import MidiFeed
from tests.bridge.control.rig import READY, Rig

SECTION = {
    "type": "song",
    "section": "B",
    "number": 2,
    "frame": 400,
    "bars": 8,
    "bpm": 100.0,
    "beats_per_bar": 3,
    "transition_beats": 0,
}


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = tmp_path / "inputs" / "song.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text("title = 'x'")
    return path


def test_a_song_is_loaded_by_its_name_and_its_size_comes_back(rig: Rig, song: Path) -> None:
    assert rig.send("/mgrt/song/load", "song.toml") == []
    assert rig.commands() == [("song/load", str(song))]
    identity = rig.engine.pop()["id"]
    answer = {"type": "applied", "id": identity, "frame": 100, "sections": 7, "bars": 112}
    rig.dispatcher.from_engine(answer)
    assert rig.take() == [("/done", "/mgrt/song/load", 7, 112)]


@pytest.mark.parametrize("name", ["other.toml", "../song.toml", "song.wav"])
def test_only_song_files_of_the_folder_are_loaded(rig: Rig, song: Path, name: str) -> None:
    (reply,) = rig.send("/mgrt/song/load", name)
    assert reply[:2] == ("/fail", "/mgrt/song/load")
    assert rig.commands() == []


def test_sections_are_played_on_bar_lines(rig: Rig, song: Path) -> None:
    (reply,) = rig.send("/mgrt/song/play")
    assert "no song is loaded" in reply[2]
    rig.send("/mgrt/song/load", "song.toml")
    rig.engine.clear()
    rig.send("/mgrt/song/play", 2)
    rig.send("/mgrt/song/section", "Second", "verse")
    rig.send("/mgrt/song/stop")
    assert rig.commands() == [("song/play",), ("song/section", "Second verse"), ("song/stop",)]
    assert [one["frame"] for one in rig.engine] == [200, 100, 100]


def test_a_section_moves_the_internal_clock_and_is_told(rig: Rig) -> None:
    ann = rig.subscribe()
    beat = rig.session.timeline.beat_at(400)
    rig.dispatcher.from_engine(SECTION)
    rig.advance(0.1)
    timeline = rig.session.timeline
    assert (timeline.bpm_at(399), timeline.bpm_at(400)) == (120.0, 100.0)
    assert timeline.clock_at(400).beats_per_bar == 3
    assert [one["frame"] for one in rig.engine if one["type"] == "timeline"] == [400]
    got = rig.take(ann)
    assert ("/mgrt/section", "B", 2, pytest.approx(beat), 8) in got
    assert ("/mgrt/state/song", "", "B") in got
    assert any(one[:3] == ("/mgrt/state/clock", "internal", 100.0) for one in got)
    rig.dispatcher.from_engine({"type": "song", "section": None, "frame": 800})
    rig.advance(0.1)
    got = rig.take(ann)
    assert [one[1:3] for one in got if one[0] == "/mgrt/section"] == [("", 0)]
    assert ("/mgrt/state/song", "", "") in got


def test_a_transition_moves_the_tempo_through_its_bars(rig: Rig) -> None:
    rig.dispatcher.from_engine({**SECTION, "beats_per_bar": 4, "transition_beats": 8})
    timeline = rig.session.timeline
    # 8 beats at 110 bpm on the way: 218 frames.
    assert timeline.bpm_at(400) > 115
    assert timeline.bpm_at(509) == pytest.approx(110, abs=1)
    assert timeline.bpm_at(620) == 100.0


def test_a_host_keeps_its_tempo(tmp_path: Path) -> None:
    rig = Rig(tmp_path, sources=host_sources(MidiFeed())).start()
    (reply,) = rig.send("/mgrt/clock/source", "osc")
    assert reply[0] == "/done"
    rig.dispatcher.from_engine(SECTION)
    assert rig.session.timeline.bpm_at(500) == 120.0
    assert rig.session.state["song/section"] == "B"


def test_an_engine_that_starts_again_is_told_where_the_song_is(rig: Rig, song: Path) -> None:
    rig.send("/mgrt/song/load", "song.toml")
    rig.engine.clear()
    rig.dispatcher.from_engine(SECTION)
    calls = [(name, *args) for name, args in rig.session.state.engine_calls()]
    assert calls[-2:] == [("song/load", str(song)), ("song/section", "B")]
    rig.dispatcher.from_engine({"type": "song", "section": None, "frame": 800})
    assert "song/section" not in dict(rig.session.state.engine_calls())


def test_an_infill_is_asked_for_by_its_bars(rig: Rig) -> None:
    rig.dispatcher.from_engine(READY)
    rig.engine.clear()
    rig.send("/mgrt/gen/infill", 3, 4)
    rig.send("/mgrt/gen/infill", 3, 4, 8, 2)
    assert rig.commands() == [("gen/infill", 3, 4, 0), ("gen/infill", 3, 4, 8)]
    assert [one["frame"] for one in rig.engine] == [None, 200]
    rig.apply(frame=300)
    assert rig.take()[0] == ("/done", "/mgrt/gen/infill", pytest.approx(12.0), 1)
    for args in ((4, 3), (3, 9, 8), (0, 1)):
        (reply,) = rig.send("/mgrt/gen/infill", *args)
        assert reply[0] == "/fail"
    rig.send("/mgrt/gen/infill", 1, 1, 1)
    rig.refuse("load a MAGNeT")
    assert rig.take() == [("/fail", "/mgrt/gen/infill", "load a MAGNeT")]
