"""The table is whole, agrees with the engine, and is what the documentation says."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from bridge.argument import When
from bridge.control.handlers import HANDLERS
from bridge.entry import Entry
from bridge.protocol import BY_ADDRESS, COMMANDS, OUTGOING, unknown_text
from bridge.protocol_markdown import protocol_markdown
from bridge.refusal import Refusal
from bridge.table.terms import MAX_PROMPT_CHARS, PARAMETERS
from musicgen_rt.live import score
from musicgen_rt.model import text

ROOT = Path(__file__).parents[2]
# What the design demands; a later version may have more.
REQUIRED = {
    "": "status version sync notify refresh dump_osc clear_sched quit",
    "prompt/": "set weight clear negative",
    "attr/": "set list",
    "melody/": "note_on note_off mode loop_bars file clear",
    "clock/": "source tempo beat signature quantum tap offset_ms",
    "transport/": "play stop reset",
    "gen/": "retry undo freeze continue panic",
    "bank/": "save load",
    "audio/": "gain_db mute record devices device",
}
REQUIRED_PARAMETERS = "temperature top_k top_p cfg cfg_melody seed lead_ms context_bars"
EVENTS = "startup heartbeat beat chunk underrun fallback late latency error progress"


def entry(path: str) -> Entry:
    return BY_ADDRESS[f"/mgrt/{path}"]


def test_everything_that_was_promised_is_there() -> None:
    paths = {one.path for one in COMMANDS}
    for group, names in REQUIRED.items():
        assert paths >= {group + name for name in names.split()}
    for verb in ("get", "set", "listen"):
        assert paths >= {f"param/{verb}/{name}" for name in REQUIRED_PARAMETERS.split()}
    assert {one.path for one in OUTGOING} >= set(EVENTS.split())


def test_no_address_has_two_meanings() -> None:
    addresses = [one.address for one in (*COMMANDS, *OUTGOING)]
    assert len(addresses) == len(set(addresses))


def test_each_command_has_a_handler_and_each_handler_a_command() -> None:
    of_the_dispatcher = {"notify", "dump_osc", "clear_sched", "auth"}
    of_midi = {one.path for one in COMMANDS if one.group == "midi"}
    paths = {one.path for one in COMMANDS}
    assert set(HANDLERS) == paths - of_the_dispatcher - of_midi


def test_every_entry_explains_itself() -> None:
    for one in COMMANDS:
        assert one.doc.endswith((".", ")")), one.path
        for argument in one.all_arguments:
            assert argument.expected


def test_what_the_table_lets_through_the_engine_takes() -> None:
    for name, parameter in score.PARAMETERS.items():
        own = PARAMETERS[name]
        for value in (vars(own)["low"], vars(own)["high"], own.default):
            assert parameter.check(name, value) == value
    others = {"lead_ms", "context_bars", "lock", "ask_tempo"}
    assert score.PARAMETERS.keys() | others == PARAMETERS.keys()
    slots = vars(entry("prompt/set").arguments[0])
    assert (slots["low"], slots["high"]) == (0, score.NUM_SLOTS - 1)
    weights = vars(entry("prompt/weight").arguments[1])
    assert (weights["low"], weights["high"]) == (score.WEIGHT.low, score.WEIGHT.high)
    assert MAX_PROMPT_CHARS == text.MAX_PROMPT_CHARACTERS


def test_the_documentation_is_the_table() -> None:
    written = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    assert written == protocol_markdown(), "musicgen-rt protocol > docs/protocol.md"
    for one in (*COMMANDS, *OUTGOING):
        assert f"`{one.address}`" in written


@pytest.mark.parametrize(
    ("path", "values", "args", "when"),
    [
        ("prompt/set", [0, "deep house"], (0, "deep house", 1.0, 0.0), "now"),
        ("prompt/set", [0, "deep house", 0.5, 4], (0, "deep house", 0.5, 4.0), "now"),
        ("prompt/set", [0, "deep house", 0.5, "bar"], (0, "deep house", 0.5, 0.0), "bar"),
        ("prompt/set", [0, "a", 0.5, 4, 8], (0, "a", 0.5, 4.0), "8"),
        # Pd has no whole numbers and sends each word by itself.
        ("prompt/set", [1.0, "deep", "house", 0.5], (1, "deep house", 0.5, 0.0), "now"),
        ("prompt/set", [0, "house", 124.0, "bpm", 0.5], (0, "house 124 bpm", 0.5, 0.0), "now"),
        ("prompt/set", [0, "jazz", "bar"], (0, "jazz bar", 1.0, 0.0), "now"),
        ("prompt/negative", ["too", "loud"], ("too loud",), "now"),
        ("prompt/negative", [], (None,), "now"),
        ("prompt/weight", [2, 1, "beat"], (2, 1.0, 0.0), "beat"),
        ("attr/set", ["drums", "off", "4"], ("drums", "off"), "4"),
        ("attr/set", ["drums", "off", 1], ("drums", "off"), "bar"),
        ("audio/mute", [True], (True,), "now"),
        ("audio/mute", [0.0], (False,), "now"),
        ("gen/undo", [], (1,), "bar"),
        ("gen/undo", [2, 4], (2,), "4"),
        ("gen/undo", ["bar"], (1,), "bar"),
        ("transport/stop", ["BAR"], (), "bar"),
        ("clock/signature", [3], (3, 4), "bar"),
        ("clock/signature", [6, 8, "now"], (6, 8), "now"),
        ("param/set/top_k", [50.0], (50,), "now"),
        ("melody/note_off", [60], (60,), "now"),
    ],
)
def test_arguments_as_clients_send_them(
    path: str, values: list[Any], args: tuple[Any, ...], when: str
) -> None:
    call = entry(path).call(values)
    assert call.args == args
    assert [type(value) for value in call.args] == [type(value) for value in args]
    assert str(call.when) == when


@pytest.mark.parametrize(
    ("path", "values", "words"),
    [
        ("prompt/set", [8, "a"], ["slot is 8", "0 to 7"]),
        ("prompt/set", [0.5, "a"], ["slot is 0.5", "whole number"]),
        ("prompt/set", [0], ["text is missing", "/mgrt/prompt/set slot text [weight]"]),
        ("prompt/set", [0, 1.0], ["text is 1.0", "text"]),
        ("prompt/set", [0, "a", 11.0], ["weight is 11.0", "-10 to 10"]),
        ("prompt/set", [0, "a", math.nan], ["weight is nan"]),
        ("prompt/set", [0, "a", 1, 2, 3, 4], ["6 arguments", "too many"]),
        ("prompt/set", [0, "a", 1, 2, 65], ["when is 65", "1 to 64"]),
        ("param/set/cfg", ["high"], ["cfg is 'high'", "0 to 30"]),
        ("param/set/cfg", [True], ["cfg is True"]),
        ("param/set/cfg", [b"blob"], ["cfg is b'blob'"]),
        ("param/set/cfg", [(1,)], ["cfg is (1,)"]),
        ("param/set/seed", [2**31], ["seed is 2147483648", "2147483647"]),
        ("attr/set", ["drums", "loud"], ["value is 'loud'", "on, off, free"]),
        ("audio/mute", [2], ["is_on is 2", "0 or 1"]),
        ("clock/signature", [3, 5], ["unit is 5", "2, 4, 8, 16"]),
        ("clock/source", ["ableton"], ["internal, link, midi, jack, osc"]),
        ("gen/undo", [1, "now"], ["when is 'now'", "bar or 1 to 64 bars"]),
        ("gen/undo", ["now"], ["when is 'now'"]),
        ("status", [1], ["too many"]),
        ("param/set/cfg", ["x" * 5000], ["cfg is 'xxx", "..."]),
    ],
)
def test_a_refusal_names_value_and_range(path: str, values: list[Any], words: list[str]) -> None:
    with pytest.raises(Refusal) as refusal:
        entry(path).call(values)
    for word in words:
        assert word in str(refusal.value)
    assert len(str(refusal.value)) < 300


def test_a_slip_of_the_hand_is_recognised() -> None:
    assert "/mgrt/prompt/set" in unknown_text("/mgrt/promt/set")
    assert "did you mean" not in unknown_text("/live/song/get/tempo")


def test_when_shows_itself_as_it_is_written() -> None:
    assert [str(one) for one in (When(), When("beat"), When("bar", 1), When("bar", 4))] == [
        "now",
        "beat",
        "bar",
        "4",
    ]
