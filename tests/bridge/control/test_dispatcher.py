"""Clients, subscriptions, patterns and proofs, as packets of python-osc."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bridge.control.access import answer_to
from bridge.control.client import Client
from bridge.control.control_config import ControlConfig
from bridge.refusal import Refusal
from tests.bridge.control.rig import Rig, bundle, osc


def test_a_subscriber_gets_all_state_and_then_changes(rig: Rig) -> None:
    ann = rig.client(7)
    (done, *state) = rig.send("/mgrt/notify", 1, client=ann)
    assert done == ("/done", "/mgrt/notify", 1, 60.0)
    assert ("/mgrt/state/prompt", 0, "deep house", 1.0) in state
    assert ("/mgrt/state/clock", "internal", 120.0, 4, 4, 4, 0.0) in state
    assert ("/mgrt/state/attr", "drums", "free") in state
    assert len(state) == len(set(state))
    rig.send("/mgrt/param/set/cfg", 4.0)
    rig.advance(0.1)
    assert ("/mgrt/state/param", "cfg", 4.0) in rig.take(ann)
    assert ("/done", "/mgrt/notify", 1, 0.0) in rig.send("/mgrt/notify", 0, client=ann)
    rig.send("/mgrt/param/set/cfg", 5.0)
    rig.advance(0.1)
    assert rig.take(ann) == []


def test_listening_to_one_parameter_is_a_lease_too(rig: Rig) -> None:
    ann, ben = rig.client(7), rig.client(8)
    for client in (ann, ben):
        rig.send("/mgrt/param/listen/cfg", 1, client=client)
    assert len(rig.dispatcher.subscribers) == 0, "they asked for nothing else"
    rig.advance(40)
    rig.send("/mgrt/version", client=ann)
    rig.advance(40)
    assert list(rig.session.listeners["param/cfg"]) == [ann]


def test_refresh_is_the_same_state(rig: Rig) -> None:
    *state, done = rig.send("/mgrt/refresh")
    assert done == ("/done", "/mgrt/refresh", len(state))
    assert sorted(map(repr, state)) == sorted(map(repr, rig.send("/mgrt/notify", 1)[1:]))


def test_a_lease_ends_and_any_message_renews_it(rig: Rig) -> None:
    ann, ben = rig.subscribe(rig.client(7)), rig.subscribe(rig.client(8))
    rig.advance(40)
    rig.send("/mgrt/status", client=ann)
    rig.advance(40)
    rig.take(ann), rig.take(ben)
    rig.dispatcher.announce("/mgrt/underrun", 1)
    assert rig.take(ann) == [("/mgrt/underrun", 1)]
    assert rig.take(ben) == []


def test_events_may_go_to_another_port_of_the_same_host(rig: Rig) -> None:
    ann = rig.client(7)
    (done,) = rig.send("/mgrt/notify", 1, "127.0.0.1", 9000, client=ann)
    assert done[:2] == ("/done", "/mgrt/notify")
    elsewhere = rig.client(9000)
    assert rig.take(elsewhere)[0] == ("/mgrt/state/prompt", 0, "deep house", 1.0)
    rig.dispatcher.announce("/mgrt/underrun", 1)
    assert rig.take(elsewhere) == [("/mgrt/underrun", 1)]
    # And so do its replies from now on, unless it says otherwise.
    assert rig.send("/mgrt/version", client=ann) == []
    assert rig.take(elsewhere)[0][0] == "/mgrt/version.reply"
    rig.send("/mgrt/version", "@9001", client=ann)
    assert rig.take(rig.client(9001))[0][0] == "/mgrt/version.reply"


def test_a_reply_port_is_no_argument(rig: Rig) -> None:
    assert rig.send("/mgrt/prompt/set", 0, "jazz", 0.5, "bar", "@5000") == []
    assert rig.commands() == [("prompt/set", 0, "jazz", 0.5, 0)]
    rig.apply()
    assert rig.take(rig.client(5000))[0][0] == "/done"
    (reply,) = rig.send("/mgrt/version", "@70000")
    assert "expected @1 to @65535" in reply[2]
    rig.send("/mgrt/prompt/set", 0, "mail me @5000")
    assert rig.commands()[-1][2] == "mail me @5000"


def test_a_pattern_reaches_all_that_it_matches(rig: Rig) -> None:
    replies = rig.send("/mgrt/param/get/{cfg,top_k}")
    assert sorted(replies) == [
        ("/mgrt/param/get/cfg.reply", 2.5),
        ("/mgrt/param/get/top_k.reply", 250),
    ]
    rig.send("/mgrt/param/set/cfg*", 4.0)
    assert rig.commands() == [("param/set", "cfg", 4.0), ("param/set", "cfg_melody", 4.0)]
    assert rig.send("/mgrt/param/get/*x")[0][0] == "/fail"


def test_what_a_client_of_this_process_asks_is_answered_to_it(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    got: list[Any] = []
    rig.dispatcher.local("/mgrt/prompt/set", 0, "jazz", client_name="midi a", reply=got.append)
    rig.apply()
    assert [message.address for message in got] == ["/done"]
    rig.dispatcher.local("/mgrt/prompt/set", 9, "jazz")
    assert "slot is 9" in caplog.text
    rig.dispatcher.local("/mgrt/melody/note_on", 60, 100, client_name="midi a")
    rig.forget()
    rig.dispatcher.release("midi a")
    assert rig.commands() == [("melody/note_off", 60)]


def test_midi_commands_are_handed_on(rig: Rig) -> None:
    (reply,) = rig.send("/mgrt/midi/list")
    assert reply[:2] == ("/fail", "/mgrt/midi/list")
    asked: list[tuple[str, tuple[Any, ...]]] = []

    def midi(name: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
        asked.append((name, args))
        if name == "forget":
            raise Refusal("param/cfg was not learnt")
        return ("Keys", "Pads") if name == "list" else ()

    rig.dispatcher.on_midi_command = midi
    assert rig.send("/mgrt/midi/list") == [("/mgrt/midi/list.reply", "Keys", "Pads")]
    assert rig.send("/mgrt/midi/learn", "param/cfg") == [("/done", "/mgrt/midi/learn")]
    assert rig.send("/mgrt/midi/panic") == [("/done", "/mgrt/midi/panic")]
    assert rig.send("/mgrt/midi/forget", "param/cfg") == [
        ("/fail", "/mgrt/midi/forget", "param/cfg was not learnt")
    ]
    assert asked[1] == ("learn", ("param/cfg",))


def test_version_and_quit(rig: Rig) -> None:
    ((address, program, version, protocol),) = rig.send("/mgrt/version")
    assert (address, program, protocol) == ("/mgrt/version.reply", "musicgen-rt", 1)
    assert version
    assert rig.send("/mgrt/quit") == [("/done", "/mgrt/quit")]
    assert rig.quits == 1


def test_what_arrives_can_be_logged(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "mgrt.osc")
    rig.send("/mgrt/version")
    assert "/mgrt/version" not in caplog.text
    rig.send("/mgrt/dump_osc", 1)
    for _ in range(200):
        rig.send("/mgrt/prompt/weight", 0, 0.5)
    assert "in: udp 127.0.0.1:1 /mgrt/prompt/weight (0, 0.5)" in caplog.text
    assert len(caplog.records) <= 50, "so many lines a second"
    rig.send("/mgrt/dump_osc", 0)
    caplog.clear()
    rig.advance(1)
    rig.send("/mgrt/version")
    assert caplog.text == ""


REMOTE = Client("udp", "192.168.1.5", 5000)
TOKEN = "correct horse battery"


@pytest.fixture
def guarded(tmp_path: Path) -> Rig:
    """A rig that is reachable from other machines."""
    control = ControlConfig(
        host="192.168.1.2",
        is_lan_allowed=True,
        token=TOKEN,
        curve_secret_key_file=tmp_path,
        curve_client_keys_folder=tmp_path,
    )
    return Rig(tmp_path, control=control).start()


def test_who_knows_the_token_is_let_in(guarded: Rig) -> None:
    (reply,) = guarded.send("/mgrt/status", client=REMOTE)
    assert reply[:2] == ("/fail", "/mgrt/status")
    assert "/mgrt/auth" in reply[2]
    ((address, challenge),) = guarded.send("/mgrt/auth", client=REMOTE)
    assert address == "/mgrt/auth.challenge"
    answer = answer_to(challenge, TOKEN)
    assert TOKEN not in answer
    assert guarded.send("/mgrt/auth", answer, client=REMOTE) == [("/done", "/mgrt/auth")]
    assert guarded.send("/mgrt/status", client=REMOTE)[0][0] == "/mgrt/status.reply"
    other = Client("udp", "192.168.1.5", 5001)
    assert guarded.send("/mgrt/status", client=other)[0][0] == "/fail"
    guarded.advance(61)
    assert guarded.send("/mgrt/status", client=REMOTE)[0][0] == "/fail", "it was not heard of"


def test_strangers_are_answered_as_one(guarded: Rig) -> None:
    """A forged sender can name any port of its victim."""
    strangers = [Client("udp", "192.168.1.66", port) for port in range(1000)]
    replies = sum(len(guarded.send("/mgrt/quit", client=one)) for one in strangers)
    assert replies <= 300
    assert guarded.quits == 0


def test_this_machine_needs_no_token(guarded: Rig) -> None:
    assert guarded.send("/mgrt/status")[0][0] == "/mgrt/status.reply"


def test_bundles_from_strangers_do_not_wait_here(guarded: Rig) -> None:
    guarded.send_packet(bundle(guarded.wall_seconds + 5, osc("/mgrt/quit")), REMOTE)
    assert len(guarded.dispatcher.waiting) == 0
