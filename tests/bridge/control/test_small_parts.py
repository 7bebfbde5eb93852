"""Queues, clocks, limits and leases: the parts that keep a little state each."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pythonosc.parsing import ntp

from bridge.clock.internal import InternalClock
from bridge.clock.taps import MIN_TAPS
from bridge.control.bundle_queue import HORIZON_SECONDS, BundleQueue
from bridge.control.client import Client
from bridge.control.counters import METRICS, Counters
from bridge.control.file_shelf import FileShelf
from bridge.control.held_notes import HeldNotes
from bridge.control.json_message import decode_json
from bridge.control.latency_meter import LatencyMeter
from bridge.control.ntp import monotonic_from_ntp
from bridge.control.rate_limit import Rate, RateLimit
from bridge.control.subscribers import Subscribers
from bridge.control.subscriptions import Subscriptions
from bridge.refusal import Refusal

SECOND_NS = 10**9
ANN, BEN = Client("udp", "127.0.0.1", 1), Client("udp", "127.0.0.1", 2)


@given(st.lists(st.integers(0, 9 * SECOND_NS), max_size=30))
def test_bundles_leave_in_order_of_time_and_arrival(dues_ns: list[int]) -> None:
    queue: BundleQueue[tuple[int, int]] = BundleQueue()
    for number, due_ns in enumerate(dues_ns):
        queue.push(due_ns, (due_ns, number), now_ns=0)
    popped = list(queue.pop_due(9 * SECOND_NS))
    assert popped == sorted((due_ns, number) for number, due_ns in enumerate(dues_ns))


def test_a_bundle_is_kept_until_its_time() -> None:
    queue: BundleQueue[str] = BundleQueue()
    queue.push(100, "a", now_ns=0)
    queue.push(100, "early", now_ns=0, ahead_ns=60)
    assert list(queue.pop_due(39)) == []
    assert list(queue.pop_due(99)) == ["early"]
    assert list(queue.pop_due(100)) == ["a"]


def test_the_queue_of_bundles_is_bounded() -> None:
    queue: BundleQueue[int] = BundleQueue(max_waiting=3)
    for number in range(3):
        queue.push(1, number, now_ns=0)
    with pytest.raises(Refusal, match="3 messages wait"):
        queue.push(1, 3, now_ns=0)
    with pytest.raises(Refusal, match=rf"3.15e\+07 s ahead: expected at most {HORIZON_SECONDS} s"):
        queue.push(365 * 86400 * SECOND_NS, 3, now_ns=0)
    assert queue.clear() == 3
    assert len(queue) == 0


@pytest.mark.parametrize("seconds", [1_790_000_000.0, 1_790_000_000.75])
@pytest.mark.parametrize("ahead", [-5.0, 0.0, 0.125, 9.0])
def test_time_tags_as_python_osc_writes_them(seconds: float, ahead: float) -> None:
    tag = int.from_bytes(ntp.system_time_to_ntp(seconds + ahead), "big")
    wall_ns = round(seconds * SECOND_NS)
    found = monotonic_from_ntp(tag, wall_ns=wall_ns, now_ns=77 * SECOND_NS)
    assert found == pytest.approx(round((77 + ahead) * SECOND_NS), abs=1000)


def test_time_tags_after_their_seconds_begin_anew_in_2036() -> None:
    end = 2**32 - 2_208_988_800  # in unix seconds
    wall_ns = (end - 1) * SECOND_NS
    assert monotonic_from_ntp(2 << 32, wall_ns=wall_ns, now_ns=0) == 3 * SECOND_NS


def test_a_rate_limit_lets_a_burst_and_then_the_rate_through() -> None:
    limit = RateLimit(Rate(per_second=10, burst=5))
    assert [limit.permits("a", 0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert limit.permits("b", 0), "others are not concerned"
    assert not limit.permits("a", SECOND_NS // 20)
    assert limit.permits("a", SECOND_NS // 8)
    passed = sum(limit.permits("a", SECOND_NS + n * 1_000_000) for n in range(1000))
    assert 10 <= passed <= 15


def test_a_rate_limit_does_not_grow() -> None:
    limit = RateLimit(Rate(1, 1), max_keys=10)
    for number in range(1000):
        limit.permits(number, 0)
    assert len(limit._buckets) == 10


def test_a_lease_ends_unless_the_client_is_heard_of() -> None:
    subscribers = Subscribers(lease_seconds=10, max_clients=4)
    first, second = subscribers.subscribe(ANN, 0), subscribers.subscribe(BEN, 0)
    assert first != second
    subscribers.heard_of(BEN, 5 * SECOND_NS)
    assert subscribers.take_expired(10 * SECOND_NS) == [ANN]
    assert list(subscribers) == [BEN]
    assert subscribers.subscribe(BEN, 11 * SECOND_NS) == second, "renewed, not another"
    assert subscribers.unsubscribe(BEN) == second
    assert subscribers.unsubscribe(BEN) == 0


def test_subscribers_have_a_limit() -> None:
    subscribers = Subscribers(lease_seconds=10, max_clients=1)
    subscribers.subscribe(ANN, 0)
    with pytest.raises(Refusal, match="1 clients are subscribed"):
        subscribers.subscribe(BEN, 0)


def test_a_client_keeps_the_port_that_it_subscribed_with() -> None:
    subscribers = Subscribers(lease_seconds=10, max_clients=4)
    subscribers.subscribe(ANN.replying_to(9), 0)
    assert subscribers.heard_of(ANN, 1).reply_port == 9
    assert subscribers.heard_of(ANN.replying_to(10), 1).reply_port == 10
    assert subscribers.heard_of(BEN, 1).reply_port is None


def test_notes_are_held_by_whoever_pressed_them() -> None:
    notes = HeldNotes()
    notes.press(60, 100, ANN)
    notes.press(60, 90, BEN)
    notes.press(64, 80, ANN)
    assert sorted(notes.sounding()) == [(60, 90), (64, 80)]
    assert not notes.let_go(60, ANN), "the other still holds it"
    assert notes.let_all_go(BEN) == [60]
    assert notes.let_go(64, BEN), "a client that never held it ends it"
    assert notes.sounding() == []
    assert notes.let_all_go(ANN) == []


def test_percentiles_of_the_last_hundred() -> None:
    meter = LatencyMeter()
    assert (meter.percentiles, meter.take_news()) == ((0, 0), None)
    for time_ms in (10_000.0, *map(float, range(100, 0, -1))):
        meter.add(time_ms)
    assert meter.take_news() == (51, 96)
    assert meter.take_news() is None


def test_taps_set_the_tempo() -> None:
    clock = InternalClock()
    gap_ns = SECOND_NS // 2
    taps = [clock.tap(number * gap_ns) for number in range(4)]
    assert [one.bpm for one in taps] == [None] * (MIN_TAPS - 1) + [120.0] * 2
    clumsy = clock.tap(3 * gap_ns + gap_ns * 5 // 4)
    assert clumsy.bpm == 120.0
    assert clock.tap(100 * SECOND_NS).count == 1, "after a pause they begin anew"


@pytest.mark.parametrize(("gap_ns", "bpm"), [(1_000_000, 999.0), (2_999_999_999, 20.0)])
def test_taps_stay_within_the_range(gap_ns: int, bpm: float) -> None:
    clock = InternalClock()
    assert [clock.tap(number * gap_ns) for number in range(3)][-1].bpm == bpm


def test_files_are_found_by_name_in_one_folder(tmp_path: Path) -> None:
    shelf = FileShelf(tmp_path / "in", [".wav", ".mid"])
    with pytest.raises(Refusal, match=r"no file 'a\.wav'"):
        shelf.existing("a.wav")
    path = shelf.fresh("a.wav")
    assert path == tmp_path / "in" / "a.wav"
    path.write_bytes(b"x")
    assert shelf.existing("a.wav") == path
    with pytest.raises(Refusal, match="choose another name"):
        shelf.fresh("a.wav")
    with pytest.raises(Refusal, match=r"expected \.wav, \.mid"):
        shelf.existing("a.txt")
    assert shelf.numbered("take", ".wav").name == "take-0001.wav"
    shelf.numbered("take", ".wav").write_bytes(b"")
    assert shelf.numbered("take", ".wav").name == "take-0002.wav"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xff",
        b"{}",
        b"[]",
        b"[1]",
        b'["/a\x01"]',
        b'["/mgrt/\xc3\xa4"]',
        b"[" * 60_000,
        b'["/a", NaN]',
        b'["/a", Infinity]',
        b'["/a", ' + b"9" * 5000 + b"]",
        b'["/a"' + b", 1" * 65 + b"]",
        b'["/a"]' + b" " * 70_000,
    ],
)
def test_json_that_is_no_command(data: bytes) -> None:
    with pytest.raises(Refusal):
        decode_json(data)


def test_json_commands() -> None:
    text = '["/mgrt/prompt/set", 0, "Grüße", 1.5, true, null]'.encode()
    assert decode_json(text) == ("/mgrt/prompt/set", (0, "Grüße", 1.5, True, None))


def test_it_is_known_whether_anybody_wants_a_topic() -> None:
    heard: list[bool] = []
    subscriptions = Subscriptions(b"pcm", heard.append)
    for frame in (b"\x01/mgrt/beat", b"\x01pcm", b"\x01", b"\x00pcm", b"junk", b"", b"\x00"):
        subscriptions.take(frame)
    assert heard == [True, False]


def test_metrics_are_in_prometheus_format() -> None:
    counters = Counters()
    counters.add("packets_total", 3)
    counters.set("lead_seconds", 1.25)
    lines = counters.text().splitlines()
    assert "mgrt_packets_total 3" in lines
    assert "mgrt_lead_seconds 1.25" in lines
    assert "# TYPE mgrt_packets_total counter" in lines
    assert "# TYPE mgrt_lead_seconds gauge" in lines
    for name, (is_gauge, _) in METRICS.items():
        assert is_gauge is not name.endswith("_total"), name
