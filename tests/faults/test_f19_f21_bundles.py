"""F19-F21: time tags far ahead, late and unordered; deep bundles and wildcard bombs."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest

from bridge.control.osc_decode import MAX_BUNDLE_DEPTH
from tests.bridge.control.rig import Rig, bundle, osc
from tests.support.collector import collector_off

YEAR_SECONDS = 365 * 86400


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path, prompts=(("deep house", 1.0),)).start()


def test_f19_a_year_ahead_is_refused_and_not_held(rig: Rig) -> None:
    packet = bundle(rig.wall_seconds + YEAR_SECONDS, osc("/mgrt/gen/panic"), osc("/mgrt/version"))
    replies = rig.send_packet(packet)
    assert [reply[:2] for reply in replies] == [
        ("/fail", "/mgrt/gen/panic"),
        ("/fail", "/mgrt/version"),
    ]
    assert "expected at most 10 s" in replies[0][2]
    assert len(rig.dispatcher.waiting) == 0


def test_f19_what_may_wait_is_bounded(rig: Rig) -> None:
    many = [osc("/mgrt/version")] * 1000
    for _ in range(5):
        rig.send_packet(bundle(rig.wall_seconds + 5, *many))
    assert len(rig.dispatcher.waiting) == 4096
    assert rig.dispatcher.counters["refused_total"] == 5000 - 4096


def test_f20_a_missed_time_tag_is_done_at_once_and_told(rig: Rig) -> None:
    rig.advance(1)
    # Heard now is sample 32000; what has left for the device ends 50 ms later.
    late = bundle(rig.wall_seconds - 0.5, osc("/mgrt/prompt/set", 0, "jazz"), osc("/mgrt/version"))
    replies = rig.send_packet(late)
    assert rig.commands() == [("prompt/set", 0, "jazz", 1.0, 0)]
    assert rig.engine[-1]["frame"] is None
    lates = {reply[1]: reply[2] for reply in replies if reply[0] == "/mgrt/late"}
    assert lates["/mgrt/prompt/set"] == pytest.approx(560, abs=20), "until it can be heard"
    assert lates["/mgrt/version"] == pytest.approx(500, abs=1)


def test_f20_what_can_still_be_heard_in_time_is_not_late(rig: Rig) -> None:
    rig.advance(1)
    assert rig.send_packet(bundle(rig.wall_seconds + 0.1, osc("/mgrt/prompt/clear", 0))) == []
    assert rig.engine[-1]["frame"] == 55


def test_f20_unordered_tags_are_done_in_their_order(rig: Rig) -> None:
    for seconds in (3.0, 1.0, 2.0, 1.0):
        packet = bundle(rig.wall_seconds + seconds, osc("/mgrt/sync", round(seconds * 10)))
        rig.send_packet(packet)
    rig.advance(5)
    assert [reply[1] for reply in rig.take() if reply[0] == "/mgrt/synced"] == [10, 10, 20, 30]


def test_f20_a_late_one_does_not_overtake_an_earlier_one(rig: Rig) -> None:
    rig.send_packet(bundle(rig.wall_seconds + 0.5, osc("/mgrt/sync", 1)))
    rig.now_ns += 600_000_000  # the daemon was busy, and did not tick
    replies = rig.send_packet(bundle(rig.wall_seconds - 0.05, osc("/mgrt/sync", 2)))
    assert [reply[1] for reply in replies if reply[0] == "/mgrt/synced"] == [1, 2]


def test_f20_nothing_sleeps_in_a_handler(rig: Rig) -> None:
    start = time.thread_time()
    wall = time.monotonic()
    with collector_off():
        rig.send_packet(bundle(rig.wall_seconds + 9, osc("/mgrt/version")))
        assert rig.send("/mgrt/version") != [], "others do not wait for it"
    assert time.thread_time() - start < 0.5
    assert time.monotonic() - wall < 8


def nested(depth: int) -> bytes:
    packet = osc("/mgrt/version")
    for _ in range(depth):
        packet = b"#bundle\0" + struct.pack(">Qi", 1, len(packet)) + packet
    return packet


@pytest.mark.parametrize("depth", [MAX_BUNDLE_DEPTH + 1, 100, 1500])
def test_f21_deep_bundles_are_dropped(rig: Rig, depth: int) -> None:
    assert rig.send_packet(nested(depth)) == []
    assert rig.dispatcher.counters["malformed_total"] == 1
    assert rig.send_packet(nested(MAX_BUNDLE_DEPTH))[0][0] == "/mgrt/version.reply"


@pytest.mark.parametrize(
    "pattern",
    [
        "/mgrt/" + "*" * 100 + "x",
        "/mgrt/*/*",
        "/" + "?*" * 50,
        "/mgrt/param/set/" + "*c*" * 30,
        "/mgrt/" + "{set,get}" * 12,
        "/{" + ",".join("ab" * 3 for _ in range(40)) + "}",
    ],
)
def test_f21_wildcard_bombs_fizzle(rig: Rig, pattern: str) -> None:
    start = time.thread_time()
    with collector_off():
        for number in range(20):
            # Never the same one twice, so that no memory of it helps.
            (reply,) = rig.send(pattern[:100] + str(number), 1.0)
            assert reply[0] == "/fail"
    assert (time.thread_time() - start) / 20 < 0.02
    assert rig.commands() == []
