"""Link's public test plan (TEST-PLAN.md of Ableton/link), case by case, with a real second peer.

The peer stands for LinkHut, a session on a virtual sound card for the app. What the card was given
is compared with the peer's beats. `docs/sync.md` says how each case is to be read for a daemon.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.bridge.clock.link_stage import QUANTUM, LinkStage, Peer

pytest.importorskip("link", reason="LinkPython-extern is not installed: musicgen-rt[link]")

MAX_ERROR_MS = 3.0
SAME_BPM = 0.011
# Of two sessions that meet the older one stays; Link takes half a second for the same age.
AGE_SECONDS = 1.2
OPEN = Callable[[float], LinkStage]


@pytest.fixture
def open_app(tmp_path: Path) -> Iterator[OPEN]:
    """Opens the app with a tempo of its own; Link is not enabled yet."""
    opened: list[LinkStage] = []

    def open_one(bpm: float) -> LinkStage:
        opened.append(LinkStage(tmp_path / str(len(opened)), bpm))
        return opened[-1]

    yield open_one
    for app in opened:
        app.close()


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.close()


def enable_link(app: LinkStage, peer: Peer) -> None:
    """Join the peer's session, which is old enough to be the one that stays."""
    app.live(AGE_SECONDS)
    app.send("/mgrt/clock/source", "link")
    app.until(lambda: peer.ask()["peers"] == 1 and is_locked(app), "the peers find each other")


def is_locked(app: LinkStage) -> bool:
    return app.dispatcher.view().following.is_locked


def is_in_sync(app: LinkStage, peer: Peer) -> bool:
    """Whether the last second and a half was heard on the peer's beats."""
    errors_ms = app.errors_to_ms(peer, app.clock.now_ns - 1_500_000_000)
    return len(errors_ms) > 0 and bool(np.abs(errors_ms).max() < MAX_ERROR_MS)


def shares_tempo(app: LinkStage, peer: Peer, bpm: float) -> bool:
    return abs(app.bpm - bpm) < SAME_BPM and abs(peer.ask()["bpm"] - bpm) < SAME_BPM


def test_tempo_1_changes_travel_both_ways_and_stay_in_sync(open_app: OPEN, peer: Peer) -> None:
    app = open_app(120.0)
    enable_link(app, peer)
    app.send("/mgrt/clock/tempo", 141.5)
    app.until(lambda: shares_tempo(app, peer, 141.5), "the app's tempo")
    app.until(lambda: is_in_sync(app, peer), "in sync after the app's change")
    peer.ask("tempo 93.7")
    app.until(lambda: shares_tempo(app, peer, 93.7), "the peer's tempo")
    app.until(lambda: is_in_sync(app, peer), "in sync after the peer's change")


def test_tempo_2_opening_does_not_change_an_existing_sessions_tempo(
    open_app: OPEN, peer: Peer
) -> None:
    peer.ask("tempo 130")
    app = open_app(100.0)
    enable_link(app, peer)
    app.until(lambda: shares_tempo(app, peer, 130.0), "the session's tempo")


def test_tempo_3_loading_does_not_change_the_sessions_tempo(open_app: OPEN, peer: Peer) -> None:
    peer.ask("tempo 130")
    app = open_app(100.0)
    enable_link(app, peer)
    app.until(lambda: shares_tempo(app, peer, 130.0), "the session's tempo")
    app.session.banks.replaceable("bank-003.safetensors").write_bytes(b"made at another tempo")
    for command in (("/mgrt/bank/load", 3), ("/mgrt/prompt/set", 0, "drum and bass, 174 bpm")):
        app.send(*command)
        app.live(0.5)
        assert shares_tempo(app, peer, 130.0), command


@pytest.mark.parametrize("bpm", [20.0, 999.0])
def test_tempo_4_the_whole_range_is_followed_in_sync(
    open_app: OPEN, peer: Peer, bpm: float
) -> None:
    app = open_app(120.0)
    enable_link(app, peer)
    peer.ask(f"tempo {bpm}")
    app.until(lambda: shares_tempo(app, peer, bpm), "an extreme tempo")
    # The slowest beat takes three seconds.
    app.live(1.0 if bpm > 60 else 4.0)
    app.until(lambda: is_in_sync(app, peer), "in sync at an extreme tempo")


def test_tempo_5_enabling_alone_does_not_change_the_apps_tempo(open_app: OPEN) -> None:
    app = open_app(120.0)
    app.send("/mgrt/clock/tempo", 133.3)
    app.live(0.3)
    app.send("/mgrt/clock/source", "link")
    app.live(1.2)
    assert app.bpm == pytest.approx(133.3, abs=SAME_BPM)
    app.send("/mgrt/clock/tempo", 101.5)
    app.live(1.0)
    app.send("/mgrt/clock/source", "internal")
    app.live(0.5)
    assert app.bpm == pytest.approx(101.5, abs=SAME_BPM)
    assert app.session.timeline.segments[-1].bpm == pytest.approx(101.5, abs=SAME_BPM)


def unevenness_ms(app: LinkStage, since_ns: int, bpm: float) -> float:
    """How far the clicks since a moment are from lying evenly, at worst."""
    clicks_ns = app.clicks_ns(since_ns)
    assert len(clicks_ns) >= 4
    steps_ns = np.arange(len(clicks_ns)) * 60e9 / bpm
    away_ns = clicks_ns - clicks_ns[0] - steps_ns
    return float(np.abs(away_ns).max()) / 1e6


def test_beattime_1_enabling_alone_leaves_the_beats_where_they_are(open_app: OPEN) -> None:
    app = open_app(127.0)
    begin_ns = app.clock.now_ns
    app.live(1.37)
    app.send("/mgrt/clock/source", "link")
    app.live(2.5)
    app.send("/mgrt/clock/source", "internal")
    app.live(1.5)
    assert unevenness_ms(app, begin_ns, 127.0) < 1.0
    assert np.abs(np.diff(app.heard_from(app.first_heard_from(begin_ns)))).max() < 0.6


def test_beattime_2_a_newcomer_does_not_move_the_apps_beats(open_app: OPEN) -> None:
    app = open_app(118.0)
    app.send("/mgrt/clock/source", "link")
    app.live(AGE_SECONDS)
    begin_ns = app.clock.now_ns
    newcomer = Peer()
    try:
        app.until(lambda: is_locked(app), "the newcomer")
        app.until(lambda: abs(newcomer.ask()["bpm"] - 118.0) < SAME_BPM, "its tempo is ours")
        app.live(2.5)
        assert unevenness_ms(app, begin_ns, 118.0) < 1.0
        assert is_in_sync(app, newcomer)
    finally:
        newcomer.close()


def first_sound_ns(app: LinkStage, since_ns: int) -> float | None:
    """When sound begins after the silence that a moment lies in."""
    first = app.first_heard_from(since_ns)
    loud = np.flatnonzero(np.abs(app.heard_from(first)) > 0.001)
    if not len(loud):
        return None
    return float(app.output.began_host_ns + (first + int(loud[0])) * 1e9 / app.card.rate_hz)


def place_of(peer: Peer, time_ns: float) -> float:
    """How far from the peer's nearest bar a moment is, in ms."""
    theirs = peer.ask()
    beat = theirs["beat"] + (time_ns - theirs["time_ns"]) * theirs["bpm"] / 60e9
    apart = (beat + QUANTUM / 2) % QUANTUM - QUANTUM / 2
    return float(apart * 60_000 / theirs["bpm"])


def stopped(app: LinkStage) -> None:
    """Stop the app before Link is enabled, and wait for the silence."""
    app.send("/mgrt/transport/stop")
    app.live(0.5)
    assert not app.is_playing


def is_heard_from_a_bar_of(app: LinkStage, peer: Peer, since_ns: int) -> None:
    app.until(lambda: first_sound_ns(app, since_ns) is not None, "sound")
    begun_ns = first_sound_ns(app, since_ns)
    assert begun_ns is not None
    assert abs(place_of(peer, begun_ns)) < MAX_ERROR_MS


def test_startstopstate_1_the_peers_start_and_stop_are_ours(open_app: OPEN, peer: Peer) -> None:
    app = open_app(120.0)
    stopped(app)
    enable_link(app, peer)
    peer.ask("tempo 150")
    app.live(0.5)
    silent_ns = app.clock.now_ns
    peer.ask("start")
    app.until(lambda: app.is_playing, "the peer's start")
    is_heard_from_a_bar_of(app, peer, silent_ns)
    peer.ask("stop")
    app.until(lambda: not app.is_playing, "the peer's stop")
    app.live(0.4)
    last_ns = app.clock.now_ns - 100_000_000
    assert not app.heard_from(app.first_heard_from(last_ns)).any()


def test_startstopstate_2_our_start_and_stop_are_the_peers(open_app: OPEN, peer: Peer) -> None:
    peer.ask("tempo 150")
    peer.ask("start")
    app = open_app(150.0)
    stopped(app)
    enable_link(app, peer)
    app.live(0.5)
    assert not app.is_playing, "who joins does not begin by that"
    assert peer.ask()["is_playing"], "nor does it end the others' playing"
    silent_ns = app.clock.now_ns
    app.send("/mgrt/transport/play", "bar")
    is_heard_from_a_bar_of(app, peer, silent_ns)
    app.send("/mgrt/transport/stop")
    app.until(lambda: not peer.ask()["is_playing"], "the peer stops with us")
    app.live(0.5)
    silent_ns = app.clock.now_ns
    app.send("/mgrt/transport/play", "bar")
    app.until(lambda: bool(peer.ask()["is_playing"]), "the peer starts with us")
    is_heard_from_a_bar_of(app, peer, silent_ns)


@pytest.mark.parametrize("bpm", [93.7, 128.0])
def test_audioengine_1_onsets_lie_on_the_peers_beats(
    open_app: OPEN, peer: Peer, bpm: float
) -> None:
    peer.ask(f"tempo {bpm}")
    app = open_app(120.0)
    enable_link(app, peer)
    app.until(lambda: is_in_sync(app, peer), "the beats meet")
    begin_ns = app.clock.now_ns
    app.live(2.5)
    errors_ms = app.errors_to_ms(peer, begin_ns)
    assert len(errors_ms) >= 2
    assert np.abs(errors_ms).max() < MAX_ERROR_MS
