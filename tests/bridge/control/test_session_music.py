"""Prompts, parameters, attributes, melody and banks: from a message to the engine and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.bridge.control.rig import HOP, RATE_HZ, READY, Rig


def test_a_prompt_reaches_the_engine_and_is_answered_when_it_is_taken(rig: Rig) -> None:
    assert rig.send("/mgrt/prompt/set", 1, "dub techno", 0.5) == []
    assert rig.commands() == [("prompt/set", 1, "dub techno", 0.5, 0)]
    assert rig.engine[-1]["frame"] is None
    rig.apply(frame=100)
    assert rig.take() == [("/done", "/mgrt/prompt/set", pytest.approx(4.0), 1)]
    assert rig.session.view(rig.position, rig.now_ns).prompts == (
        (0, "deep house", 1.0),
        (1, "dub techno", 0.5),
    )


def test_a_ramp_in_beats_becomes_frames_under_the_tempo(rig: Rig) -> None:
    rig.send("/mgrt/prompt/weight", 0, 0.25, 8.0)
    # 8 beats at 120 bpm and 50 frames a second.
    assert rig.commands() == [("prompt/weight", 0, 0.25, 200)]


def test_what_the_engine_refuses_is_refused_and_set_back(rig: Rig) -> None:
    ann = rig.subscribe()
    rig.send("/mgrt/prompt/set", 0, "too many tokens", 1.0)
    rig.refuse("the prompt has 600 tokens, expected at most 512")
    reason = "the prompt has 600 tokens, expected at most 512"
    assert rig.take() == [("/fail", "/mgrt/prompt/set", reason)]
    rig.advance(1)
    assert ("/mgrt/state/prompt", 0, "deep house", 1.0) in rig.take(ann)


def test_an_empty_slot_has_no_weight(rig: Rig) -> None:
    (reply,) = rig.send("/mgrt/prompt/weight", 5, 1.0)
    assert reply[:2] == ("/fail", "/mgrt/prompt/weight")
    assert "slot 5 is empty" in reply[2]
    rig.send("/mgrt/prompt/clear", 0)
    assert rig.commands() == [("prompt/clear", 0)]
    assert rig.send("/mgrt/prompt/weight", 0, 1.0)[0][0] == "/fail"


def test_the_negative_prompt_comes_and_goes(rig: Rig) -> None:
    rig.send("/mgrt/prompt/negative", "distortion")
    rig.send("/mgrt/prompt/negative")
    assert rig.commands() == [("prompt/negative", "distortion"), ("prompt/negative", None)]


def test_parameters_are_set_got_and_listened_to(rig: Rig) -> None:
    listener = rig.client(5)
    got = rig.send("/mgrt/param/listen/temperature", 1, client=listener)
    assert got == [
        ("/done", "/mgrt/param/listen/temperature"),
        ("/mgrt/state/param", "temperature", 1.0),
    ]
    rig.send("/mgrt/param/set/temperature", 0.5)
    rig.apply()
    assert rig.send("/mgrt/param/get/temperature")[-1] == (
        "/mgrt/param/get/temperature.reply",
        0.5,
    )
    rig.advance(0.1)
    assert rig.take(listener) == [("/mgrt/state/param", "temperature", 0.5)]
    (done,) = rig.send("/mgrt/param/listen/temperature", 0, client=listener)
    assert done[0] == "/done"
    rig.send("/mgrt/param/set/temperature", 0.75)
    rig.advance(0.1)
    assert rig.take(listener) == []


def test_a_fader_costs_the_engine_one_command_at_a_time(rig: Rig) -> None:
    for value in range(1, 11):
        assert rig.send("/mgrt/param/set/cfg", float(value)) == []
    assert rig.commands() == [("param/set", "cfg", 1.0)]
    rig.apply(frame=100)
    assert rig.take() == [("/done", "/mgrt/param/set/cfg", pytest.approx(4.0), 1)]
    assert rig.commands() == [("param/set", "cfg", 10.0)]
    rig.apply(frame=150)
    assert rig.take() == [("/done", "/mgrt/param/set/cfg", pytest.approx(6.0), 9)]
    assert rig.commands() == []


def test_two_hands_on_one_fader_are_both_answered(rig: Rig) -> None:
    ann, ben = rig.client(1), rig.client(2)
    for client, value in ((ann, 1.0), (ann, 2.0), (ben, 3.0), (ben, 4.0)):
        rig.send("/mgrt/prompt/weight", 0, value, client=client)
    rig.apply()
    rig.apply()
    assert [reply[-1] for reply in rig.take(ann)] == [1, 1]
    assert [reply[-1] for reply in rig.take(ben)] == [2]


@pytest.mark.parametrize(
    "later", [("/mgrt/prompt/set", 0, "jazz", 1.0), ("/mgrt/prompt/clear", 0), ("/mgrt/gen/panic",)]
)
def test_a_fader_that_waits_is_not_overtaken(rig: Rig, later: tuple[Any, ...]) -> None:
    rig.send("/mgrt/prompt/weight", 0, 0.25)
    rig.send("/mgrt/prompt/weight", 0, 0.5)
    rig.send(*later)
    names = [(name.split("/")[1], args) for name, *args in rig.commands()]
    assert names[:2] == [("weight", [0, 0.25, 0]), ("weight", [0, 0.5, 0])]
    assert names[2][0] == later[0].split("/")[-1]
    rig.apply()
    assert rig.commands() == []
    assert len(rig.take()) == 3


def test_other_faders_do_not_wait_for_one(rig: Rig) -> None:
    rig.send("/mgrt/param/set/cfg", 2.0)
    rig.send("/mgrt/param/set/temperature", 0.5)
    rig.send("/mgrt/prompt/weight", 0, 0.5)
    assert len(rig.commands()) == 3


def test_values_with_a_time_of_their_own_do_not_replace_each_other(rig: Rig) -> None:
    for when in ("beat", "bar", 4):
        rig.send("/mgrt/param/set/cfg", 2.0, when)
    assert [one["frame"] for one in rig.engine] == [25, 100, 400]


def test_a_refused_fader_goes_back_to_what_the_engine_has(rig: Rig) -> None:
    for value in (1.0, 2.0, 3.0):
        rig.send("/mgrt/param/set/cfg", value)
    rig.apply()
    rig.refuse("no")
    assert rig.take()[-1] == ("/fail", "/mgrt/param/set/cfg", "no")
    assert rig.session.state["param/cfg"] == 1.0


def test_the_lead_is_told_at_once(rig: Rig) -> None:
    (reply,) = rig.send("/mgrt/param/set/lead_ms", 500.0)
    assert reply[:2] == ("/done", "/mgrt/param/set/lead_ms")
    lead = {"type": "lead", "lead_ms": 500.0, "context_bars": 4, "lock": 1, "ask_tempo": 1}
    assert rig.engine == [lead]
    (reply,) = rig.send("/mgrt/param/set/lock", 0)
    assert reply[:2] == ("/done", "/mgrt/param/set/lock")
    assert rig.engine[-1]["lock"] == 0
    (reply,) = rig.send("/mgrt/param/set/ask_tempo", 0)
    assert reply[:2] == ("/done", "/mgrt/param/set/ask_tempo")
    assert rig.engine[-1]["ask_tempo"] == 0


def test_how_the_beats_are_heard_is_told_when_it_changes(rig: Rig) -> None:
    ann = rig.subscribe()
    beats = {"state": "locked", "confidence": 0.8, "error_ms": 12.5}
    for _ in range(3):
        rig.dispatcher.from_engine({"type": "heartbeat", "steps_per_second": 90.0, "beats": beats})
    told = [message for message in rig.take(ann) if message[0] == "/mgrt/beats"]
    assert told == [("/mgrt/beats", "locked", 0.8, 12.5)]
    (status,) = rig.send("/mgrt/status")
    assert status[-3:] == ("locked", 0.8, 12.5)


def test_the_checkpoints_defaults_hold_unless_they_were_set(tmp_path: Path) -> None:
    plain = Rig(tmp_path).start()
    assert plain.send("/mgrt/param/get/cfg") == [("/mgrt/param/get/cfg.reply", 2.5)]
    own = Rig(tmp_path, params={"cfg": 4.0}).start()
    assert own.send("/mgrt/param/get/cfg") == [("/mgrt/param/get/cfg.reply", 4.0)]


def test_attributes_are_the_checkpoints(rig: Rig) -> None:
    assert rig.send("/mgrt/attr/list") == [
        ("/mgrt/attr/list.reply", "drums", "free", "bass", "free")
    ]
    rig.send("/mgrt/attr/set", "drums", "off", "bar")
    assert rig.commands() == [("attr/set", "drums", "off")]
    assert rig.engine[-1]["frame"] == 100
    (reply,) = rig.send("/mgrt/attr/set", "choir", "on")
    assert reply[0] == "/fail"
    assert "drums, bass" in reply[2]


def test_notes_follow_the_hand(rig: Rig) -> None:
    rig.send("/mgrt/melody/note_on", 60, 100)
    rig.send("/mgrt/melody/note_on", 60, 0)
    rig.send("/mgrt/melody/note_on", 64, 90)
    rig.send("/mgrt/melody/note_off", 64)
    assert rig.commands() == [
        ("melody/note_on", 60, 100),
        ("melody/note_off", 60),
        ("melody/note_on", 64, 90),
        ("melody/note_off", 64),
    ]


def test_a_note_that_two_hold_ends_with_the_second(rig: Rig) -> None:
    ann, ben = rig.client(1), rig.client(2)
    for client in (ann, ben):
        rig.send("/mgrt/melody/note_on", 60, 100, client=client)
    (done,) = rig.send("/mgrt/melody/note_off", 60, client=ann)
    assert done[0] == "/done"
    assert "melody/note_off" not in {name for name, *_ in rig.commands()}
    rig.send("/mgrt/melody/note_off", 60, client=ben)
    assert rig.commands()[-1] == ("melody/note_off", 60)


def test_a_melody_file_is_named_and_never_a_path(rig: Rig, tmp_path: Path) -> None:
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    (inputs / "tune.mid").write_bytes(b"MThd")
    assert "name one with /mgrt/melody/file" in rig.send("/mgrt/melody/mode", "file")[0][2]
    rig.send("/mgrt/melody/file", "tune.mid")
    assert rig.commands() == [("melody/file", str(inputs / "tune.mid"))]
    assert "no file 'song.mid'" in rig.send("/mgrt/melody/file", "song.mid")[0][2]
    rig.apply()
    rig.send("/mgrt/melody/clear")
    assert rig.session.state["melody/mode"] == "off"


def test_splices_are_for_a_bar_line_that_the_engine_chooses(rig: Rig) -> None:
    rig.send("/mgrt/gen/undo", 2)
    rig.send("/mgrt/gen/retry", 1, "bar")
    rig.send("/mgrt/gen/freeze", 1, 2, 4)
    assert rig.commands() == [("gen/undo", 2), ("gen/retry", 1), ("gen/freeze", 1, 2)]
    # Next reachable one; but every fourth bar is a promise.
    assert [one["frame"] for one in rig.engine] == [None, None, 400]
    assert rig.take() == []
    rig.apply()
    assert len(rig.take()) == 3


def test_panic_lets_go_of_everything(rig: Rig) -> None:
    rig.send("/mgrt/melody/note_on", 60, 100)
    rig.send("/mgrt/gen/freeze", 1)
    rig.apply()
    rig.send("/mgrt/gen/panic")
    assert rig.commands() == [("gen/panic",)]
    assert rig.session.notes.sounding() == []
    assert rig.session.state["freeze/is_on"] is False


def test_banks_are_numbers(rig: Rig, tmp_path: Path) -> None:
    (reply,) = rig.send("/mgrt/bank/load", 7)
    assert "bank 7 is empty" in reply[2]
    rig.send("/mgrt/bank/save", 7)
    ((name, path),) = rig.commands()
    assert (name, path) == ("bank/save", str(tmp_path / "banks" / "bank-007.safetensors"))
    Path(path).write_bytes(b"x")
    rig.apply()
    rig.send("/mgrt/bank/load", 7, 2)
    assert rig.commands() == [("bank/load", path)]
    assert rig.engine[0]["frame"] == 200


def test_controls_that_change_by_themselves_are_told(rig: Rig) -> None:
    ann = rig.subscribe()
    rig.dispatcher.from_engine(
        {
            "type": "state",
            "prompts": {"0": "jazz", "9": "no such slot"},
            "weights": {"0": 0.5},
            "negative": "noise",
            "params": {"seed": 7},
            "attributes": {"drums": "off"},
            "melody": {"mode": "loop", "file": "riff.mid", "line": "low"},
            "frozen": True,
        }
    )
    rig.advance(0.1)
    told = rig.take(ann)
    for message in (
        ("/mgrt/state/prompt", 0, "jazz", 0.5),
        ("/mgrt/state/negative", "noise"),
        ("/mgrt/state/param", "seed", 7),
        ("/mgrt/state/attr", "drums", "off"),
        ("/mgrt/state/melody", "loop", 4, "riff.mid", "low", "rest"),
        ("/mgrt/state/freeze", True, 1),
    ):
        assert told.count(message) == 1


def test_while_the_model_loads_controls_are_kept_for_it(tmp_path: Path) -> None:
    rig = Rig(tmp_path, prompts=(("deep house", 1.0),))
    start = rig.dispatcher.engine_start()
    assert start["state"][0]["args"] == [0, "deep house", 1.0, 0]
    rig.dispatcher.from_engine({"type": "loading", "fraction": 0.4, "text": "weights"})
    (reply,) = rig.send("/mgrt/prompt/set", 0, "jazz")
    assert reply[0] == "/done"
    assert rig.send("/mgrt/param/set/cfg", 5.0)[0][0] == "/done"
    (reply,) = rig.send("/mgrt/gen/undo")
    assert reply == (
        "/fail",
        "/mgrt/gen/undo",
        "the model is loading (40%): wait for /mgrt/startup",
    )
    assert rig.engine == []
    rig.dispatcher.from_engine(READY)
    assert ("prompt/set", 0, "jazz", 1.0, 0) in rig.commands()
    assert ("param/set", "cfg", 5.0) in rig.commands()
    assert len(rig.commands()) == 2, "what it was told at its start is not repeated"
    assert [one["type"] for one in rig.engine[:2]] == ["timeline", "lead"]


def test_what_is_on_its_way_is_not_undone_by_what_the_engine_says_of_before(rig: Rig) -> None:
    """An undo takes seconds; a knob is turned meanwhile, and the undo tells its old value."""
    rig.send("/mgrt/param/set/cfg", 5.0)
    rig.send("/mgrt/param/set/cfg", 6.0)
    told = {"type": "state", "params": {"cfg": 2.0, "temperature": 0.5}}
    rig.dispatcher.from_engine(told)
    assert rig.session.state["param/cfg"] == 6.0
    assert rig.session.state["param/temperature"] == 0.5
    rig.refuse("no")
    rig.refuse("no")
    assert rig.session.state["param/cfg"] == 2.0, "as the engine has it, now that it is refused"
    rig.dispatcher.from_engine({"type": "state", "params": {"cfg": 3.0}})
    assert rig.session.state["param/cfg"] == 3.0


def test_an_engine_that_starts_again_is_told_everything(rig: Rig) -> None:
    rig.send("/mgrt/prompt/set", 3, "choir", 0.5)
    rig.send("/mgrt/attr/set", "drums", "off")
    rig.send("/mgrt/melody/note_on", 60, 100)
    rig.dispatcher.engine_lost("killed")
    assert {reply[0] for reply in rig.take()} == {"/fail"}
    rig.send("/mgrt/prompt/weight", 3, 0.75)
    assert "starting again" in rig.send("/mgrt/gen/retry")[-1][2]
    start = rig.dispatcher.engine_start()
    commands = [(one["name"], *one["args"]) for one in start["state"]]
    assert ("prompt/set", 3, "choir", 0.75, 0) in commands
    assert ("attr/set", "drums", "off") in commands
    assert ("melody/note_on", 60, 100) in commands
    rig.engine.clear()
    rig.dispatcher.release("nobody")
    rig.dispatcher.forget(rig.client())  # who held a note goes away
    rig.dispatcher.from_engine(READY)
    assert rig.commands() == [("melody/note_off", 60)]


@pytest.mark.parametrize("name", ["one.mid", None])
def test_an_engine_that_starts_again_plays_the_file_that_the_last_one_played(
    rig: Rig, tmp_path: Path, name: str | None
) -> None:
    """Which an undo has brought back; a song's tune is no file, and comes with the song."""
    (tmp_path / "inputs").mkdir(exist_ok=True)
    for file in ("one.mid", "two.mid"):
        (tmp_path / "inputs" / file).write_bytes(b"MThd")
    rig.send("/mgrt/melody/file", "two.mid")
    rig.apply()
    rig.dispatcher.from_engine({"type": "state", "melody": {"mode": "file", "file": name}})
    calls = [(call, *args) for call, args in rig.session.state.engine_calls()]
    melody = [call for call in calls if call[0] in ("melody/file", "melody/mode")]
    path = str(tmp_path / "inputs" / "one.mid")
    assert melody == ([("melody/file", path)] if name else [])


def test_no_answer_in_a_long_time_is_a_failure(rig: Rig) -> None:
    rig.send("/mgrt/prompt/set", 0, "jazz")
    rig.advance(15)
    assert rig.take() == []
    rig.advance(10)
    (reply,) = rig.take()
    assert reply[:2] == ("/fail", "/mgrt/prompt/set")
    assert "no answer from the engine" in reply[2]
    rig.apply()
    assert rig.take() == [], "its late answer is owed to nobody"


def test_too_many_waiting_requests_are_refused(rig: Rig) -> None:
    for _ in range(4096):
        rig.send("/mgrt/prompt/set", 0, "jazz")
    (reply,) = rig.send("/mgrt/prompt/set", 0, "jazz")
    assert reply[0] == "/fail"
    assert "4096 requests wait" in reply[2]


def test_knob_to_ear_is_measured(rig: Rig) -> None:
    ann = rig.subscribe()
    rig.send("/mgrt/prompt/set", 0, "jazz")
    rig.advance(0.1)
    # The engine says frame 20 while sample 3200 is heard.
    rig.apply(frame=20)
    heard_ms = 100 + (20 * HOP - 3200) / RATE_HZ * 1000
    rig.advance(5.1)
    assert ("/mgrt/latency", pytest.approx(heard_ms), pytest.approx(heard_ms)) in rig.take(ann)


def test_sync_waits_for_what_came_before(rig: Rig) -> None:
    assert rig.send("/mgrt/sync", 1) == [("/mgrt/synced", 1)]
    rig.send("/mgrt/prompt/set", 0, "jazz")
    rig.send("/mgrt/param/set/cfg", 1.0)
    rig.send("/mgrt/param/set/cfg", 2.0)
    assert rig.send("/mgrt/sync", 2) == []
    rig.apply()
    assert "/mgrt/synced" not in {reply[0] for reply in rig.take()}, "the second value waits"
    rig.apply()
    assert rig.take()[-1] == ("/mgrt/synced", 2)


def test_a_note_that_cannot_be_let_go_for_a_flood_is_still_held(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.send("/mgrt/melody/note_on", 60, 100)
    rig.apply()
    monkeypatch.setattr("bridge.control.owed.MAX_OWED", 1)
    rig.send("/mgrt/prompt/set", 0, "jazz")
    assert rig.send("/mgrt/melody/note_off", 60)[-1][:2] == ("/fail", "/mgrt/melody/note_off")
    assert rig.session.notes.sounding() == [(60, 100)]
    rig.dispatcher.forget(rig.client())
    assert rig.commands()[-1] == ("melody/note_off", 60), "its client's leaving ends it"
