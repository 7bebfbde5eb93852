"""A note struck for a moment to come, and let go of before it, leaves nothing sounding."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.model.musicgen import MusicGen
from tests.live.test_worker_melody import REST, pitches
from tests.live.worker_rig import BPM, Rig
from tests.support.stand_in import StandIn, stand_in_model


@pytest.fixture
def rig(models: dict[str, MusicGen]) -> Rig:
    """Follows notes; played up to frame 40, and made up to about 60."""
    model = stand_in_model(models["frame"], StandIn())
    rig = Rig(model, lead_ms=400, state=(("attr/set", ["drums", "off"]),))
    rig.play(20)
    rig.command("melody/mode", "follow")
    rig.play(20)
    return rig


def strike(rig: Rig, pitch: int = 60, frame: int | None = None) -> int:
    return rig.command("melody/note_on", pitch, 100, frame=frame)


def let_go(rig: Rig, pitch: int = 60, frame: int | None = None) -> int:
    return rig.command("melody/note_off", pitch, frame=frame)


def held(rig: Rig) -> list[int]:
    return [note.pitch for note in rig.stage.melody.at(rig.player.stream_end).held]


@pytest.mark.parametrize("is_one_turn", [True, False])
@pytest.mark.parametrize("frame", [52, 100])
def test_a_note_that_is_let_go_of_before_its_moment_does_not_sound(
    rig: Rig, frame: int, is_one_turn: bool
) -> None:
    """Whether its moment is made already, or far ahead."""
    is_made = frame < rig.player.next_frame
    assert is_made == (frame == 52)
    struck = strike(rig, frame=frame)
    if not is_one_turn:
        rig.loop.turn()
    ended = let_go(rig)
    rig.play(100)
    assert rig.applied_at(struck) == frame
    assert rig.applied_at(ended) <= frame
    assert held(rig) == []
    assert set(pitches(rig, 45, 120)) == {REST}
    assert np.isfinite(rig.heard).all()


@pytest.mark.parametrize("frame", [52, 100])
def test_a_key_that_is_struck_again_is_held(rig: Rig, frame: int) -> None:
    strike(rig, frame=frame)
    rig.loop.turn()
    let_go(rig)
    rig.loop.turn()
    again = strike(rig)
    rig.play(100)
    assert held(rig) == [60]
    begins = rig.applied_at(again)
    assert begins < 52
    assert set(pitches(rig, begins, 120)) == {0}


def test_a_note_that_sounds_ends_though_another_was_to_come(rig: Rig) -> None:
    strike(rig)
    rig.fill()
    strike(rig, frame=100)
    rig.play(8)
    ended = let_go(rig)
    rig.play(100)
    assert held(rig) == []
    assert set(pitches(rig, rig.applied_at(ended), 120)) == {REST}


@pytest.mark.parametrize("first", [50, 90])
def test_a_planned_note_with_an_end_of_its_own_is_played(rig: Rig, first: int) -> None:
    """However live keys of its pitch come and go before it."""
    strike(rig, frame=first)
    let_go(rig, frame=first + 5)
    rig.loop.turn()
    let_go(rig)
    rig.play(100)
    assert held(rig) == []
    assert pitches(rig, first - 3, first + 8) == [REST] * 3 + [0] * 5 + [REST] * 3


def test_a_planned_end_that_comes_before_its_note_ends_it_too(rig: Rig) -> None:
    strike(rig, frame=100)
    strike(rig, 64, frame=100)
    let_go(rig, frame=90)
    rig.play(100)
    assert held(rig) == [64]


def test_a_note_goes_with_its_line_and_can_be_let_go_of_there(rig: Rig) -> None:
    strike(rig, frame=100)
    rig.inbox.messages[-1]["beat"] = 16.0
    rig.loop.turn()
    host = Timeline.start(BPM).with_tempo(60, 440.0)
    rig.tell("timeline", timeline=host.to_json(), frame=60)
    rig.loop.turn()
    begins = round(host.frame_at(16.0))
    let_go(rig, frame=begins + 10)
    rig.play(100)
    assert held(rig) == []
    found = pitches(rig, begins - 3, begins + 13)
    assert found == [REST] * 3 + [0] * 10 + [REST] * 3
