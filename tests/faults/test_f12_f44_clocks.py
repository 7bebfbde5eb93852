"""F12, F15, F20, F33, F35, F37, F42, F43, F44 where they concern the host's clock.

In virtual time: a host, a sound card with a clock of its own, and all of the daemon but its model.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from bridge.clock.host_sources import host_sources
from bridge.clock.midi import MidiFeed
from bridge.control.position import SECOND_NS
from musicgen_rt.evaluate import sync_marks
from tests.bridge.clock.host import Stage
from tests.bridge.clock.twin_stage import Card, TwinStage
from tests.bridge.control.rig import HOP, RATE_HZ, Rig, bundle, osc

MAX_ERROR_MS = 3.0


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """A session that is told its beats over OSC."""
    rig = Rig(tmp_path, sources=host_sources(MidiFeed())).start()
    assert rig.send("/mgrt/clock/source", "osc")[0][0] == "/done"
    return rig


def place_ms(rig: Rig, beat_at_now: float, bpm: float) -> float:
    """How far the session's place in the bar is behind."""
    _, place = rig.session.timeline.bar_position_at(rig.position.dac_sample / HOP)
    return ((beat_at_now - place + 2) % 4 - 2) * 60_000 / bpm


def test_f12_another_device_changes_nothing_of_the_beats(tmp_path: Path) -> None:
    stage = TwinStage(tmp_path, Card(48000, 512), 120.0)
    stage.run(4)
    stage.change_card(Card(44100, 128, ppm=100))
    stage.run(4)
    first = stage.first_heard_from(stage.clock.now_ns - 2 * SECOND_NS)
    heard = sync_marks.clicks(stage.heard_from(first), stage.card.rate_hz)
    assert len(heard) >= 3
    assert max(map(abs, stage.errors_ms([float(first + at) for at in heard], 1))) <= MAX_ERROR_MS
    pitch = sync_marks.tone_level(stage.heard_from(first), stage.card.rate_hz)
    assert pitch.max() > 0.09, "the tone is still at its own pitch"


@pytest.mark.parametrize("ppm", [-200.0, 200.0])
def test_f15_clocks_that_drift_apart_are_held_together(tmp_path: Path, ppm: float) -> None:
    stage = Stage(tmp_path, 120.0, ppm).follow()
    stage.run(10)
    stage.engine.clear()
    stage.run(60)
    assert stage.worst_ms(60) < 2.0
    assert len(stage.timelines()) <= 60, "no more than one correction a second"
    for frame, _ in stage.timelines():
        assert frame >= 0
    following = stage.dispatcher.view().following
    assert following.drift_ppm == pytest.approx(ppm, abs=20)


@pytest.mark.parametrize(("before", "after"), [(60.0, 200.0), (200.0, 60.0), (120.0, 126.0)])
def test_f33_a_tempo_step_is_followed_within_a_bar(
    tmp_path: Path, before: float, after: float
) -> None:
    stage = Stage(tmp_path, before).follow()
    stage.run(8)
    stage.host.change(stage.now_ns, bpm=after)
    stage.run(4 * 60 / after + 0.5)
    stage.run(5)
    assert stage.worst_ms(5) < MAX_ERROR_MS
    assert stage.session.timeline.segments[-1].bpm == pytest.approx(after)


@pytest.mark.parametrize("beat", [0.0, 2.5, 5.3, -7.9])
def test_f35_a_jump_is_followed_by_a_new_place_in_the_bar(tmp_path: Path, beat: float) -> None:
    stage = Stage(tmp_path, 120.0).follow()
    stage.run(5.25)
    stage.engine.clear()
    stage.host.change(stage.now_ns, beat=beat)
    stage.run(1.5)
    stage.run(3)
    assert stage.worst_ms(3) < MAX_ERROR_MS
    assert len(stage.timelines()) <= 4


def test_f35_a_loop_of_whole_bars_changes_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path, 120.0).follow()
    stage.run(5)
    stage.engine.clear()
    for _ in range(4):
        stage.run(4)
        stage.host.change(stage.now_ns, beat=stage.host.anchor_now.beat_at(stage.now_ns) - 8)
    assert stage.timelines() == []


def test_f42_f43_a_suspend_is_anchored_again_without_a_burst(tmp_path: Path) -> None:
    """The monotonic clock jumps ahead by an hour; the wall clock is never asked."""
    stage = Stage(tmp_path, 120.0).follow()
    stage.run(5)
    stage.forget()
    stage.now_ns += 3600 * SECOND_NS + 123_456_789
    stage.move_to(stage.position.dac_sample)
    stage.run(3)
    assert len(stage.timelines()) <= 3
    assert stage.worst_ms(1) < MAX_ERROR_MS


def test_f44_two_clients_that_disagree_about_the_source(tmp_path: Path) -> None:
    stage = Stage(tmp_path).follow()
    ann, ben = stage.subscribe(stage.client(1)), stage.subscribe(stage.client(2))
    stage.send("/mgrt/clock/source", "internal", client=ann)
    stage.send("/mgrt/clock/source", "jack", client=ben)
    stage.run(0.1)
    for client in (ann, ben):
        told = [one for one in stage.take(client) if one[0] == "/mgrt/state/clock"]
        assert told[-1][1] == "jack"


def test_f20_late_and_unordered_time_tags_do_not_shake_the_beats(rig: Rig) -> None:
    rolls = random.Random(2)
    for step in range(600):
        if step % 10 == 0:
            late = rolls.choice((0.0, 0.03, 0.1))
            message = osc("/mgrt/clock/beat", (step * 0.02 - late) * 2, 120.0)
            rig.send_packet(bundle(rig.wall_seconds - late, message))
        rig.advance(0.02)
    assert place_ms(rig, 600 * 0.02 * 2, 120) == pytest.approx(0, abs=3.0)


def test_f42_the_wall_clock_moves_nothing(rig: Rig) -> None:
    for step in range(300):
        if step % 20 == 0:
            rig.send("/mgrt/clock/beat", step * 0.02 * 2, 120.0)
        rig.advance(0.02)
    before = rig.session.timeline
    rig.dispatcher._wall_ns = lambda: rig.now_ns + 3600 * SECOND_NS
    rig.advance(5)
    assert rig.session.timeline.segments[-1] == before.segments[-1]
    assert rig.position.dac_sample == pytest.approx(11 * RATE_HZ, rel=0.01)


def test_f37_a_clock_that_is_unplugged_leaves_the_music_running(tmp_path: Path) -> None:
    feed = MidiFeed()
    rig = Rig(tmp_path, sources=host_sources(feed)).start()
    rig.send("/mgrt/clock/source", "midi")
    period_ns = 60 * SECOND_NS / 126 / 24
    first_ns = next_ns = float(rig.now_ns)
    feed.put("Box", (0xF8,), round(first_ns))
    feed.put("Box", (0xFA,), round(first_ns))
    for _ in range(600):
        while next_ns <= rig.now_ns + 0.02 * SECOND_NS:
            feed.put("Box", (0xF8,), round(next_ns))
            next_ns += period_ns
        rig.advance(0.02)
    assert rig.session.state["clock/bpm"] == pytest.approx(126, abs=0.1)
    assert rig.dispatcher.view().following.is_locked
    rig.engine.clear()
    rig.advance(0.02)
    for _ in range(500):
        rig.advance(0.02)
    assert not rig.dispatcher.view().following.is_locked
    assert rig.session.state["transport/is_playing"]
    _, place = rig.session.timeline.bar_position_at(rig.position.dac_sample / HOP)
    host = (rig.now_ns - first_ns) * 126 / 60 / SECOND_NS
    assert ((host - place + 2) % 4 - 2) * 60_000 / 126 == pytest.approx(0, abs=5.0)
