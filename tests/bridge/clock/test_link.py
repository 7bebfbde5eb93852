"""Link with a second, real peer in another process, beyond the public test plan's cases."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from bridge.clock.anchor import Anchor
from bridge.clock.link import LinkSource
from tests.bridge.clock.link_stage import DEADLINE_SECONDS, QUANTUM, Peer

pytest.importorskip("link", reason="LinkPython-extern is not installed: musicgen-rt[link]")


def until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.fixture
def link() -> Iterator[LinkSource]:
    source = LinkSource(Anchor(time.monotonic_ns(), 0.0, 120.0, beats_per_bar=QUANTUM))
    yield source
    source.stop()


@pytest.fixture
def peer(link: LinkSource) -> Iterator[Peer]:
    peer = Peer()
    try:
        until(lambda: link.peers == 1 and peer.ask()["peers"] == 1, "the peers find each other")
        yield peer
    finally:
        peer.close()


def anchor(link: LinkSource) -> Anchor:
    found = link.anchor(time.monotonic_ns())
    assert found is not None
    return found


def error_ms(link: LinkSource, peer: Peer) -> float:
    """How far our bar is from the peer's at the same moment of the clock."""
    theirs = peer.ask()
    mine = anchor(link)
    ahead = mine.beat_at(theirs["time_ns"]) - theirs["beat"]
    ahead = (ahead + QUANTUM / 2) % QUANTUM - QUANTUM / 2
    return ahead * 60_000 / mine.bpm


def test_a_peer_that_leaves_leaves_its_tempo(link: LinkSource, peer: Peer) -> None:
    peer.ask("tempo 77")
    until(lambda: abs(anchor(link).bpm - 77) < 0.01, "the peer's tempo")
    peer.close()
    until(lambda: link.peers == 0, "the peer is gone")
    assert anchor(link).bpm == pytest.approx(77, abs=0.01)
    assert not link.quality(time.monotonic_ns()).is_locked


def test_a_peer_that_returns_finds_our_tempo_and_bars(link: LinkSource, peer: Peer) -> None:
    peer.ask("tempo 77")
    until(lambda: abs(anchor(link).bpm - 77) < 0.01, "the peer's tempo")
    peer.close()
    until(lambda: link.peers == 0, "the peer is gone")
    before = anchor(link)
    link.tempo(101.0, time.monotonic_ns())
    assert anchor(link).bpm == pytest.approx(101, abs=0.01)
    # Of two sessions that meet the older one stays; Link takes half a second for the same age.
    until(lambda: time.monotonic_ns() - before.time_ns > 1.2e9, "some time has passed")
    ours = anchor(link)
    returned = Peer()
    try:
        until(lambda: link.peers == 1 and abs(returned.ask()["bpm"] - 101) < 0.01, "its tempo")
        assert anchor(link).bpm == pytest.approx(101, abs=0.01)
        now = anchor(link)
        assert now.beat == pytest.approx(ours.beat_at(now.time_ns), abs=0.01), "ours go on"
        until(lambda: abs(error_ms(link, returned)) < 3.0, "the bars agree")
    finally:
        returned.close()


def test_bars_agree_within_3_ms(link: LinkSource, peer: Peer) -> None:
    for bpm in (60, 93.7, 120, 200):
        peer.ask(f"tempo {bpm}")
        until(lambda bpm=bpm: abs(anchor(link).bpm - bpm) < 0.01, "the tempo")  # type: ignore[misc]
        until(lambda: abs(error_ms(link, peer)) < 3.0, "the bars agree")
        assert max(abs(error_ms(link, peer)) for _ in range(20)) < 3.0


def test_a_beat_that_is_forced_moves_everybody(link: LinkSource, peer: Peer) -> None:
    peer.ask("force 2.5")
    until(lambda: abs(error_ms(link, peer)) < 3.0, "the bars agree again")


def test_there_is_no_transport_until_somebody_uses_it(link: LinkSource, peer: Peer) -> None:
    assert anchor(link).is_playing is None
    before_ns = time.monotonic_ns()
    peer.ask("start")
    until(lambda: anchor(link).is_playing is True, "the start")
    from_ns = anchor(link).playing_from_ns
    assert from_ns is not None
    assert before_ns - 5_000_000 < from_ns < time.monotonic_ns() + 5_000_000
    peer.ask("stop")
    until(lambda: anchor(link).is_playing is False, "the stop")
    assert anchor(link).is_running, "beats go on while nobody plays"
