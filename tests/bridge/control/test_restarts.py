"""What is asked for while a child process starts is not lost on it, nor what it was told before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bridge.config import Config
from bridge.model_format import ModelFormat
from bridge.playout.options import PlayoutOptions
from bridge.settings import OutputConfig
from bridge.start_messages import playout_start
from bridge.table.output import AUDIO
from tests.bridge.control.rig import HOP, READY, Rig, bundle, osc

PLAYOUT_READY = {"type": "ready", "device": "null", "output": "null"}


def restarted_playout(rig: Rig) -> dict[str, Any]:
    """The start message of the playout that follows one that was lost."""
    rig.dispatcher.playout_lost("killed")
    rig.forget()
    return rig.dispatcher.playout_start()


def told(rig: Rig) -> dict[str, dict[str, Any]]:
    """What the playout was sent, by type; once each."""
    assert len({one["type"] for one in rig.playout}) == len(rig.playout)
    return {one["type"]: one for one in rig.playout}


def test_a_playout_is_told_when_it_is_ready_what_has_changed_since_it_was_started(rig: Rig) -> None:
    start = restarted_playout(rig)
    assert (start["is_muted"], start["is_open"], start["gain_db"]) == (False, True, 0.0)
    for command in (
        ("/mgrt/audio/mute", 1),
        ("/mgrt/audio/gain_db", -12.0),
        ("/mgrt/transport/stop",),
        ("/mgrt/clock/tempo", 90.0),
    ):
        assert rig.send(*command)[0][0] == "/done"
    rig.dispatcher.want_pcm(True)
    assert rig.playout == [], "it could not take it yet"
    rig.dispatcher.from_playout(PLAYOUT_READY)
    sent = told(rig)
    assert sent["mute"]["is_muted"] is True
    assert sent["gain"]["gain_db"] == -12.0
    assert sent["gate"]["is_open"] is False
    assert sent["pcm"]["is_on"] is True
    assert sent["timeline"]["timeline"] == rig.session.timeline.to_json()
    rig.apply_playout(sample=100 * HOP)
    assert rig.take() == [], "nobody is owed an answer"


def test_a_playout_that_missed_nothing_is_told_nothing(rig: Rig) -> None:
    rig.send("/mgrt/audio/mute", 1)
    restarted_playout(rig)
    rig.dispatcher.from_playout(PLAYOUT_READY)
    assert rig.playout == []


def test_another_device_of_a_playout_that_plays_changes_nothing_else(rig: Rig) -> None:
    rig.send("/mgrt/audio/mute", 1)
    rig.apply_playout()
    rig.dispatcher.from_playout({**PLAYOUT_READY, "device": "USB"})
    assert rig.playout == []


def test_a_new_playout_looks_for_the_device_that_was_chosen(rig: Rig) -> None:
    assert "device_name" not in rig.dispatcher.playout_start(), "as the configuration has it"
    rig.dispatcher.from_playout({**PLAYOUT_READY, "wish": {"device_name": "Scarlett"}})
    assert restarted_playout(rig)["device_name"] == "Scarlett"
    wish = {"device_name": None, "output": "device"}
    rig.dispatcher.from_playout({**PLAYOUT_READY, "wish": wish})
    config = Config(output=OutputConfig(output="null", device="USB"))
    start = playout_start(config, restarted_playout(rig), ModelFormat(), is_again=True)
    assert (start["output"], start["device_name"]) == ("device", None)


def test_the_whole_range_of_the_level_survives_a_restart(rig: Rig) -> None:
    (level,) = (one for one in AUDIO if one.path == "audio/gain_db")
    allowed = level.arguments[0].osc_range
    assert allowed is not None
    for gain_db in (allowed["MIN"], allowed["MAX"]):
        assert rig.send("/mgrt/audio/gain_db", gain_db) == []
        rig.apply_playout()
        rig.take()
        start = playout_start(Config(), restarted_playout(rig), ModelFormat(), is_again=True)
        assert PlayoutOptions.from_message(start).gain_db == gain_db
        rig.dispatcher.from_playout(PLAYOUT_READY)


def test_each_playout_writes_a_file_of_its_own(rig: Rig, tmp_path: Path) -> None:
    config = Config(output=OutputConfig(output=f"wav:{tmp_path / 'jam.wav'}"))
    state = rig.dispatcher.playout_start()

    def name(*, is_again: bool) -> str:
        output = playout_start(config, state, ModelFormat(), is_again=is_again)["output"]
        return Path(output.removeprefix("wav:")).name

    assert name(is_again=False) == name(is_again=True) == "jam.wav", "nothing is written yet"
    (tmp_path / "jam.wav").touch()
    assert name(is_again=False) == "jam.wav", "the first one refuses what is there"
    assert name(is_again=True) == "jam-2.wav"
    (tmp_path / "jam-2.wav").touch()
    assert name(is_again=True) == "jam-3.wav"


@pytest.mark.parametrize("release", [("note_off", 60), ("note_on", 60, 0)])
def test_a_key_that_is_let_go_of_while_the_engine_restarts_does_not_stick(
    rig: Rig, release: tuple[Any, ...]
) -> None:
    rig.send("/mgrt/melody/note_on", 60, 100)
    rig.send("/mgrt/melody/note_on", 64, 100)
    rig.apply()
    rig.dispatcher.engine_lost("killed")
    rig.dispatcher.engine_start()
    rig.forget()
    assert rig.send(f"/mgrt/melody/{release[0]}", *release[1:])[0][0] == "/done"
    assert rig.session.notes.sounding() == [(64, 100)]
    rig.dispatcher.from_engine(READY)
    assert rig.commands() == [("melody/note_off", 60)]


def test_a_key_that_is_struck_while_the_engine_restarts_is_followed(rig: Rig) -> None:
    rig.dispatcher.engine_lost("killed")
    rig.dispatcher.engine_start()
    rig.forget()
    rig.send("/mgrt/melody/note_on", 67, 90)
    rig.dispatcher.from_engine(READY)
    assert rig.commands() == [("melody/note_on", 67, 90)]


def test_a_loop_that_ended_with_its_engine_is_not_told_as_frozen(rig: Rig) -> None:
    ann = rig.subscribe()
    rig.send("/mgrt/gen/freeze", 1)
    rig.apply()
    rig.dispatcher.engine_lost("killed")
    rig.dispatcher.engine_start()
    rig.dispatcher.from_engine(READY)
    assert rig.session.state["freeze/is_on"] is False
    rig.advance(1)
    assert ("/mgrt/state/freeze", 0, 1) in rig.take(ann)


def test_panic_is_never_refused_for_what_is_owed(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.control.owed.MAX_OWED", 1)
    rig.send("/mgrt/prompt/set", 0, "jazz")
    assert rig.send("/mgrt/prompt/set", 0, "rock")[0][0] == "/fail"
    assert rig.send("/mgrt/gen/panic") == []
    assert rig.commands()[-1] == ("gen/panic",)


def test_what_came_before_a_panic_and_is_read_after_it_does_not_undo_it(rig: Rig) -> None:
    """Panic overtakes what waits in the inbox."""
    before_ns = rig.now_ns
    rig.now_ns += 1000
    rig.send("/mgrt/gen/panic")
    rig.forget()
    client = rig.client()

    def read(*message: Any) -> list[tuple[Any, ...]]:
        rig.dispatcher.handle_osc(osc(*message), client, before_ns)
        return rig.take(client)

    for message in (
        ("/mgrt/melody/note_on", 60, 100),
        ("/mgrt/param/set/cfg", 9.0),
        ("/mgrt/gen/freeze", 1),
        ("/mgrt/attr/set", "drums", "off"),
    ):
        (reply,) = read(*message)
        assert reply[:2] == ("/fail", message[0])
        assert "gen/panic" in reply[2]
    assert rig.commands() == []
    assert rig.session.notes.sounding() == []
    assert read("/mgrt/param/get/cfg")[0][0] == "/mgrt/param/get/cfg.reply", "a question"
    read("/mgrt/prompt/set", 0, "jazz")
    assert rig.commands() == [("prompt/set", 0, "jazz", 1.0, 0)], "the prompts stay"
    rig.now_ns += 1000
    rig.send("/mgrt/melody/note_on", 60, 100)
    assert rig.commands()[-1] == ("melody/note_on", 60, 100), "what comes after it is played"


def test_what_follows_a_panic_in_its_bundle_is_played(rig: Rig) -> None:
    rig.send_packet(bundle(0, osc("/mgrt/gen/panic"), osc("/mgrt/param/set/cfg", 2.0)))
    assert rig.commands() == [("gen/panic",), ("param/set", "cfg", 2.0)]
