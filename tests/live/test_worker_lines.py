"""What was asked for at a line is heard at that line, though the tempo changes before it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.errors import ParameterError
from musicgen_rt.model.musicgen import MusicGen
from tests.live.worker_rig import BAR, BPM, HOP, Rig

LINE_BEAT = 24.0
LINE = 6 * BAR


@pytest.fixture
def rig(models: dict[str, MusicGen]) -> Rig:
    """Played up to frame 40, so that a line 110 frames ahead is far beyond what is made."""
    rig = Rig(models["frame"], lead_ms=600)
    rig.play(40)
    return rig


def ask(rig: Rig, name: str, *args: Any, beat: float | None = LINE_BEAT, frame: int = LINE) -> int:
    """A command as control sends it for a line, unless `beat` is None; its id."""
    identity = rig.command(name, *args, frame=frame)
    sample = None if name.startswith("melody/") else frame * HOP
    rig.inbox.messages[-1] |= {"beat": beat, "sample": sample}
    return identity


def tell(rig: Rig, timeline: Timeline, frame: int) -> None:
    rig.timeline = timeline
    rig.tell("timeline", timeline=timeline.to_json(), frame=frame)
    rig.loop.turn()


def first_frame_without_drums(rig: Rig) -> int:
    score = rig.stage.engine.session.stream.score
    made = range(rig.stage.engine.next_frame)
    stream_frame = next(at for at in made if score.at("attribute/drums", at) is False)
    return rig.player.session_frame_of(stream_frame)


@pytest.mark.parametrize("bpm", [500.0, 450.0])
def test_a_change_goes_with_its_line(rig: Rig, bpm: float) -> None:
    identity = ask(rig, "attr/set", "drums", "off")
    rig.fill()
    assert rig.applied_at(identity) == LINE, "answered at once, under the tempo of then"
    host = rig.timeline.with_tempo(60, bpm)
    tell(rig, host, 60)
    rig.play(160)
    assert host.frame_at(LINE_BEAT) != LINE
    assert first_frame_without_drums(rig) == int(host.frame_at(LINE_BEAT))
    assert np.isfinite(rig.heard).all()


def test_a_time_tag_is_no_line(rig: Rig) -> None:
    ask(rig, "attr/set", "drums", "off", beat=None)
    rig.fill()
    tell(rig, rig.timeline.with_tempo(60, 500.0), 60)
    rig.play(140)
    assert first_frame_without_drums(rig) == LINE


@pytest.mark.parametrize("bpm", [500.0, 450.0])
def test_a_jump_goes_with_its_line(rig: Rig, bpm: float) -> None:
    identity = ask(rig, "gen/undo", 1)
    rig.fill()
    host = rig.timeline.with_tempo(60, bpm)
    tell(rig, host, 60)
    rig.play(160)
    assert rig.applied_at(identity) == host.bar_start_frame(6) != LINE
    assert np.isfinite(rig.heard).all()


def test_a_jump_for_the_next_bar_goes_with_its_line(rig: Rig) -> None:
    rig.play(12)
    rig.player.pace.add_jump("gen/undo", 0.3)
    identity = rig.command("gen/undo", 1)
    rig.loop.turn()
    assert rig.conductor.num_pending == 1
    host = rig.timeline.with_tempo(60, 380.0)
    tell(rig, host, 60)
    rig.play(80)
    frame = rig.applied_at(identity)
    assert frame not in bars_of(Timeline.start(BPM))
    assert frame in bars_of(host)


def bars_of(timeline: Timeline) -> list[int]:
    return timeline.bar_start_frames(0, 400)


def test_a_host_that_wavers_moves_nothing_for_good(rig: Rig) -> None:
    """Its tempo is told anew several times a second; no rounding adds up."""
    steady = rig.timeline
    ask(rig, "attr/set", "drums", "off", frame=LINE)
    ask(rig, "gen/retry", 1, beat=28.0, frame=7 * BAR)
    rig.fill()
    waiting = list(rig.conductor._pending)
    places = [(one.frame, one.sample) for one in waiting]
    for step in range(50):
        tell(rig, steady.with_tempo(60, BPM * (1 + (step % 7 - 3) / 333)), 60)
    assert [(one.frame, one.sample) for one in waiting] != places
    tell(rig, steady, 60)
    assert [(one.frame, one.sample) for one in waiting] == places


def test_a_command_that_a_newer_timeline_has_overtaken(rig: Rig) -> None:
    """The inbox lets a timeline stand in an older one's place: before what was sent after that."""
    host = rig.timeline.with_tempo(60, 500.0)
    tell(rig, host, 60)
    ask(rig, "attr/set", "drums", "off")  # by the timeline of before
    rig.play(160)
    assert first_frame_without_drums(rig) == int(host.frame_at(LINE_BEAT))


def test_a_line_that_the_clock_has_leapt_over_is_reached(rig: Rig) -> None:
    """Playing: what waits for the line is heard where the clock is beyond it."""
    changed = ask(rig, "attr/set", "drums", "off")
    jumped = ask(rig, "gen/undo", 1)
    rig.fill()
    assert rig.applied_at(changed) == LINE
    # Bar 3 begins at frame 75: the clock is set on to the middle of bar 6 by ever later places.
    host = rig.timeline
    for frame, place in ((60, 0.0), (61, 3.0), (62, 0.0), (63, 3.0), (64, 0.0), (65, 3.0)):
        host = host.with_position(frame, place)
    host = host.with_position(66, 2.0)
    assert host.beat_at(67) > LINE_BEAT
    tell(rig, host, 60)
    rig.play(80)
    assert rig.conductor.num_pending == 0
    assert rig.applied_at(jumped) in bars_of(host)
    assert 64 <= first_frame_without_drums(rig) <= rig.applied_at(jumped)
    assert np.isfinite(rig.heard).all()


def test_where_bars_are_others_a_bar_line_is_the_nearest(rig: Rig) -> None:
    changed = ask(rig, "attr/set", "drums", "off")
    jumped = ask(rig, "gen/retry", 1, beat=32.0, frame=8 * BAR)
    rig.fill()
    host = rig.timeline.with_tempo(4 * BAR, beats_per_bar=3)
    tell(rig, host, 4 * BAR)
    rig.play(120)
    assert rig.applied_at(changed) == LINE, "told before"
    # In bars of three beats from beat 16 on: lines at beats 22, 25, 28, 31.
    assert first_frame_without_drums(rig) == int(host.frame_at(25.0))
    rig.play(80)
    assert rig.applied_at(jumped) == round(host.frame_at(31.0))


def test_what_was_answered_in_advance_is_told_when_it_is_done(rig: Rig) -> None:
    """An undo in between has told control of the controls before it."""
    changed = ask(rig, "attr/set", "drums", "off")
    rig.fill()
    assert rig.applied_at(changed) == LINE
    undone = rig.command("gen/undo", 1)
    rig.play(60)
    assert rig.applied_at(undone) < LINE
    assert rig.of_kind("state")[-1]["attributes"]["drums"] == "free", "not yet"
    rig.play(60)
    assert rig.of_kind("state")[-1]["attributes"]["drums"] == "off"


def test_what_was_answered_and_is_refused_in_the_end_is_told(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(rig, "attr/set", "drums", "off")
    rig.fill()

    def refuse(*_: object) -> None:
        raise ParameterError("not any more")

    monkeypatch.setattr(rig.player, "apply", refuse)
    rig.play(120)
    assert "not any more" in rig.of_kind("error")[0]["text"]
    assert rig.of_kind("state")[-1]["attributes"]["drums"] == "free"


def test_what_is_answered_when_it_is_done_needs_no_telling(rig: Rig) -> None:
    rig.command("attr/set", "drums", "off")
    ask(rig, "melody/note_on", 60, 100, beat=None, frame=80)
    rig.play(80)
    assert rig.conductor.num_pending == 0
    assert rig.of_kind("state") == [], "and a note is no control"
