"""F44: two clients disagree. F45: a client vanishes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bridge.control.rig import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path, prompts=(("deep house", 1.0),)).start()


def test_f44_the_last_value_holds_and_both_are_told(rig: Rig) -> None:
    ann, ben = rig.subscribe(rig.client(1)), rig.subscribe(rig.client(2))
    for value in (0.25, 0.5, 0.75):
        rig.send("/mgrt/prompt/weight", 0, value, client=ann)
        rig.send("/mgrt/prompt/weight", 0, -value, client=ben)
    rig.apply()
    rig.apply()
    rig.advance(0.1)
    for client in (ann, ben):
        told = [one for one in rig.take(client) if one[0] == "/mgrt/state/prompt"]
        assert told == [("/mgrt/state/prompt", 0, "deep house", -0.75)]
    assert rig.session.state["weight/0"] == -0.75


def test_f44_a_prompt_that_both_set_is_the_last_ones(rig: Rig) -> None:
    ann, ben = rig.subscribe(rig.client(1)), rig.subscribe(rig.client(2))
    rig.send("/mgrt/prompt/set", 0, "jazz", client=ann)
    rig.send("/mgrt/prompt/set", 0, "techno", client=ben)
    assert [command[2] for command in rig.commands()] == ["jazz", "techno"]
    rig.apply()
    rig.advance(0.1)
    for client in (ann, ben):
        assert ("/mgrt/state/prompt", 0, "techno", 1.0) in rig.take(client)


def test_f44_an_older_refusal_does_not_undo_a_newer_value(rig: Rig) -> None:
    rig.send("/mgrt/prompt/set", 0, "refused", client=rig.client(1))
    refused = rig.engine.pop()["id"]
    rig.send("/mgrt/prompt/set", 0, "techno", client=rig.client(2))
    rig.dispatcher.from_engine({"type": "failed", "id": refused, "reason": "no"})
    assert rig.session.state["prompt/0"] == "techno"


def test_f45_the_music_goes_on_and_the_lease_ends(rig: Rig) -> None:
    ann, ben = rig.subscribe(rig.client(1)), rig.subscribe(rig.client(2))
    rig.send("/mgrt/melody/note_on", 60, 100, client=ann)
    rig.send("/mgrt/melody/note_on", 64, 100, client=ben)
    rig.send("/mgrt/param/listen/cfg", 1, client=ann)
    rig.apply()
    for _ in range(7):
        rig.send("/mgrt/status", client=ben)
        rig.advance(10)
    assert rig.commands() == [("melody/note_off", 60)], "nothing of it is left hanging"
    assert list(rig.dispatcher.subscribers) == [ben]
    assert rig.session.listeners["param/cfg"] == {}
    assert rig.playout == [], "and the music was left alone"
    assert rig.send("/mgrt/status", client=ben)[-1][1] == "playing"


def test_f45_a_connection_that_is_cut_is_forgotten_at_once(rig: Rig) -> None:
    ann = rig.client(1, transport="tcp")
    rig.subscribe(ann)
    rig.send("/mgrt/melody/note_on", 60, 100, client=ann)
    rig.forget()
    rig.dispatcher.forget(ann)
    assert rig.commands() == [("melody/note_off", 60)]
    assert len(rig.dispatcher.subscribers) == 0
    rig.dispatcher.announce("/mgrt/underrun", 1)
    assert rig.take(ann) == []
