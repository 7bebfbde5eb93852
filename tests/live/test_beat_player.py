"""Stretched music through the worker: places, changes, jumps and the buffer stay consistent."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.live.beat_listener import BeatListener
from musicgen_rt.live.beat_lock import BeatLock, Belief, LockState
from musicgen_rt.live.player import Player
from musicgen_rt.model.musicgen import MusicGen
from tests.live.worker_rig import HOP, Rig
from tests.support.stand_in import StandIn, stand_in_model

DRIFT = 0.02


def rig_of(model: MusicGen, monkeypatch: pytest.MonkeyPatch, drift: float = DRIFT) -> Rig:
    """A model that is told no beats, believed to be 2 % too fast."""
    belief = Belief(0.0, 0.0, drift)
    lock = BeatLock(state=LockState.LOCKED, belief=belief, confidence=1.0)
    monkeypatch.setattr(BeatListener, "lock", lock)
    return Rig(model, timeline=Timeline.start(120.0), lead_ms=1500)


@pytest.fixture
def rig(models: dict[str, MusicGen], monkeypatch: pytest.MonkeyPatch) -> Rig:
    return rig_of(models["text"], monkeypatch)


def test_what_is_heard_has_no_hole_and_is_as_long_as_it_should_be(rig: Rig) -> None:
    rig.play(240)
    assert np.isfinite(rig.heard).all()
    places = rig.player.beats.map
    assert rig.player.beats.report().rate == pytest.approx(1 / (1 + DRIFT), abs=0.004)
    # After some seconds a stream beat lies on the session's although it was made too early.
    stream_sample = 8 * 16_000 / (1 + DRIFT)
    assert places.to_session(stream_sample) == pytest.approx(8 * 16_000, abs=0.02 * 32_000)
    frame = rig.player.next_frame
    assert rig.player.session_frame_of(rig.player.stream_frame_of(frame - 40)) == frame - 40


def test_changes_and_jumps_keep_the_music_whole(rig: Rig) -> None:
    rig.play(120)
    changed = rig.command("param/set", "temperature", 0.7)
    rig.play(40)
    frame = rig.applied_at(changed)
    score = rig.stage.engine.session.stream.score
    assert score.at("temperature", rig.player.stream_frame_of(frame + 1)) == 0.7
    assert score.at("temperature", rig.player.stream_frame_of(frame - 2)) == 1.0
    undone = rig.command("gen/undo", 1)
    rig.play(200)
    at = rig.applied_at(undone)
    assert at % 100 == 0, "on a bar line of the session"
    assert rig.player.splice.session_frame == at
    assert np.isfinite(rig.heard).all()
    assert rig.player.beats.map.session_origin <= at * HOP


def test_switched_off_the_lock_lets_the_music_pass(rig: Rig) -> None:
    rig.play(80)
    rig.tell("lead", lead_ms=1500, context_bars=4, lock=0)
    rig.play(160)
    last = rig.player.beats.map.stretches[-1]
    assert last.is_plain
    vitals = rig.loop._vitals()["beats"]
    assert (vitals["state"], vitals["rate"]) == ("off", 1.0)
    assert np.isfinite(rig.heard).all()


def test_where_there_is_no_time_to_go_back_what_is_made_is_stretched_to_a_new_tempo(
    models: dict[str, MusicGen], monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(
        stand_in_model(models["frame"], StandIn()), timeline=Timeline.start(120.0), lead_ms=3000
    )
    rig.play(60)
    made = rig.stage.engine.next_frame
    monkeypatch.setattr(Player, "can_go_back", False)
    frame = round(rig.reader_frame) + 20
    rig.timeline = rig.timeline.with_tempo(frame, 124.0)
    rig.tell("timeline", timeline=rig.timeline.to_json(), frame=frame)
    rig.loop.turn()
    assert rig.stage.engine.next_frame >= made, "nothing is made again"
    stretched = [one for one in rig.player.beats.map.stretches if not one.is_plain]
    assert stretched[0].session_first >= frame * HOP - 1
    assert max(one.rate for one in stretched) == pytest.approx(124 / 120, abs=0.01)
    # A beat of the music that was made for 120 BPM lies on, or is on its way to, one of 124.
    beat_frame = rig.player.session_frame_of(made - 10)
    asked = Timeline.start(120.0).beat_at(made - 10)
    assert rig.timeline.beat_at(beat_frame) == pytest.approx(asked, abs=0.12)
    rig.play(200)
    assert np.isfinite(rig.heard).all()
    assert rig.stage.engine.timeline is not None
    assert rig.stage.engine.timeline.bpm_at(rig.stage.engine.next_frame) == 124.0


@pytest.mark.parametrize("frames", [1, 6, 12])
def test_going_back_in_what_still_waits_to_be_stretched_leaves_no_trace(
    frames: int, models: dict[str, MusicGen], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made again unchanged it is what it was, and what it joins is where it was."""
    there, back = (rig_of(models["text"], monkeypatch) for _ in range(2))
    for rig in (there, back):
        rig.play(200)
    assert back.player.beats.latency_samples > 12 * HOP
    back.player.go_back(back.player.next_frame - frames)
    for rig in (there, back):
        rig.play(100)
    heard = min(there.heard.shape[1], back.heard.shape[1])
    assert np.abs(there.heard[:, :heard] - back.heard[:, :heard]).max() < 1e-5
    assert back.of_kind("error") == []


@pytest.mark.parametrize("name", ["gen/undo", "gen/freeze"])
def test_music_that_is_on_the_beat_waits_too_and_a_jump_waits_for_it(
    name: str, models: dict[str, MusicGen], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Locked and right in time nothing is stretched, but may have to be any moment."""
    rig = rig_of(models["text"], monkeypatch, drift=0.0)
    rig.play(200)
    assert rig.player.beats.report().rate == 1.0
    arguments = {"gen/undo": (1,), "gen/freeze": (1, 1)}[name]
    for _ in range(3):
        identity = rig.command(name, *arguments)
        rig.play(110)
        assert rig.applied_at(identity) % 100 == 0
        assert np.isfinite(rig.heard).all()
        if name == "gen/freeze":
            rig.command(name, 0, 1)
            rig.play(110)
    assert rig.of_kind("error") == []


def test_a_tempo_for_what_is_made_but_not_complete_leaves_no_hole(
    models: dict[str, MusicGen], monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(
        stand_in_model(models["frame"], StandIn()), timeline=Timeline.start(120.0), lead_ms=600
    )
    rig.play(60)
    monkeypatch.setattr(Player, "can_go_back", False)
    frame = rig.player.next_frame - 2
    assert frame * HOP > rig.player.writer.end_sample
    rig.timeline = rig.timeline.with_tempo(frame, 124.0)
    rig.tell("timeline", timeline=rig.timeline.to_json(), frame=frame)
    rig.play(200)
    assert np.isfinite(rig.heard).all()
    assert rig.of_kind("error") == []
