"""The session follows a host in virtual time: beats, tempo, jumps, start and stop, hand-over."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from bridge.control.position import SECOND_NS
from bridge.protocol import BY_ADDRESS
from tests.bridge.clock.host import Stage
from tests.bridge.control.rig import HOP, RATE_HZ

MAX_ERROR_MS = 3.0


@pytest.mark.parametrize("bpm", [60.0, 93.7, 120.0, 200.0])
def test_the_beats_meet_the_hosts_and_stay(tmp_path: Path, bpm: float) -> None:
    stage = Stage(tmp_path, bpm).follow()
    stage.host.change(stage.now_ns, beat=1.7)
    stage.run(6)
    stage.run(20)
    assert stage.worst_ms(20) < MAX_ERROR_MS
    assert stage.session.state["clock/bpm"] == pytest.approx(bpm)


def test_a_steady_host_needs_no_corrections(tmp_path: Path) -> None:
    stage = Stage(tmp_path).follow()
    stage.run(5)
    stage.engine.clear()
    stage.run(30)
    assert stage.timelines() == []


def test_small_corrections_take_back_no_music(tmp_path: Path) -> None:
    stage = Stage(tmp_path).follow()
    stage.run(5)
    stage.engine.clear()
    stage.host.change(stage.now_ns, beat=stage.host.anchor_now.beat_at(stage.now_ns) + 0.004)
    made_frame = stage.position.written_end // HOP
    stage.run(5)
    assert [frame >= made_frame for frame, _ in stage.timelines()] == [True]
    assert stage.worst_ms(1) < 1.0


def test_a_ramp_is_followed(tmp_path: Path) -> None:
    stage = Stage(tmp_path, 100.0).follow()
    stage.run(5)
    while stage.host.anchor_now.bpm < 140:
        stage.host.change(stage.now_ns, bpm=stage.host.anchor_now.bpm + 0.05)
        stage.run(0.02)
    assert stage.worst_ms(16) < 12.0
    stage.run(6)
    assert stage.worst_ms(2) < MAX_ERROR_MS


def test_a_passing_state_of_a_host_that_relocates_is_not_followed(tmp_path: Path) -> None:
    stage = Stage(tmp_path, 120.0).follow()
    stage.run(5)
    stage.engine.clear()
    beat = stage.host.anchor_now.beat_at(stage.now_ns)
    stage.host.change(stage.now_ns, beat=0.3)
    stage.run(0.02)
    stage.host.change(stage.now_ns, beat=beat + 0.04)
    stage.run(2)
    assert stage.timelines() == []


def test_the_offset_and_the_outputs_latency_shift_the_beats(tmp_path: Path) -> None:
    stage = Stage(tmp_path, 120.0).follow()
    stage.run(5)
    stage.send("/mgrt/clock/offset_ms", 25.0)
    stage.run(8)
    assert stage.error_ms() == pytest.approx(25.0, abs=1.0), "ours are heard later"
    stage.session.clock.output_latency_ms = 10.0
    stage.run(8)
    assert stage.error_ms() == pytest.approx(15.0, abs=1.0), "sent earlier, since heard later"


def test_the_hosts_signature_is_taken(tmp_path: Path) -> None:
    stage = Stage(tmp_path, 120.0).follow()
    stage.run(5)
    stage.host.change(stage.now_ns, beats_per_bar=3)
    stage.run(5)
    assert stage.session.state["clock/beats"] == 3
    assert abs(stage.error_ms(3)) < MAX_ERROR_MS


def test_the_quantum_is_what_bars_align_to(tmp_path: Path) -> None:
    stage = Stage(tmp_path, 120.0).follow()
    stage.host.change(stage.now_ns, beat=6.0, quantum_beats=8)
    stage.run(4)
    assert abs(stage.error_ms()) < MAX_ERROR_MS


@pytest.mark.parametrize(("quantum", "beats"), [(4, 3), (4, 6), (8, 3), (4, 8)])
def test_bars_that_do_not_fit_the_quantum_go_on_evenly(
    tmp_path: Path, quantum: int, beats: int
) -> None:
    """Peers on 4, our bars of 3: the beats fall together, and no bar is cut for it."""
    stage = Stage(tmp_path, 120.0).follow()
    stage.host.change(stage.now_ns, beat=0.3, quantum_beats=quantum)
    stage.run(5)
    stage.send("/mgrt/clock/signature", beats, 4)
    stage.run(5)
    stage.forget()
    stage.run(12)
    assert stage.timelines() == []
    assert abs(stage.error_ms(1)) < MAX_ERROR_MS


def test_of_a_host_that_stands_the_tempo_is_followed(tmp_path: Path) -> None:
    stage = Stage(tmp_path, 120.0)
    stage.host.change(stage.now_ns, bpm=97.0, is_playing=False, is_running=False)
    stage.follow()
    stage.run(2)
    assert stage.session.timeline.segments[-1].bpm == 97.0
    assert stage.session.state["clock/bpm"] == 97.0
    assert len(stage.timelines()) == 1
    assert stage.gates() == []


def test_a_host_that_stops_and_starts_takes_the_music_along(tmp_path: Path) -> None:
    stage = Stage(tmp_path, 120.0).follow()
    stage.run(5)
    stage.forget()
    stage.host.change(stage.now_ns, is_playing=False, is_running=False)
    stage.run(0.02)
    (gate,) = stage.gates()
    assert gate["is_open"] is False
    assert not stage.session.state["transport/is_playing"]
    # It stands in the middle of a frame.
    standing = stage.position.commit_sample // HOP * HOP + 77
    stage.stand_at(standing)
    stage.run(1)
    stage.forget()
    stage.host.change(stage.now_ns, beat=2.25, is_playing=True, is_running=True)
    stage.run(0.02)
    (gate,) = stage.gates()
    assert gate["is_open"]
    ((_, timeline),) = stage.timelines()
    # At the moment of the opening the sample that stood has the host's place.
    host_place = stage.host.anchor_now.beat_at(gate["time_ns"]) % 4
    _, place = timeline.bar_position_at(-(-standing // HOP))
    ahead_seconds = (-standing % HOP) / RATE_HZ
    assert place == pytest.approx(host_place + ahead_seconds * 2, abs=1e-4)
    assert stage.session.state["transport/is_playing"]


def test_play_at_a_bar_is_the_hosts_bar(tmp_path: Path) -> None:
    stage = Stage(tmp_path, 120.0).follow()
    stage.run(5)
    stage.send("/mgrt/transport/stop")
    stage.apply_playout(sample=1000)
    stage.stand_at(stage.position.commit_sample)
    stage.run(1.3)
    stage.forget()
    stage.send("/mgrt/transport/play", "bar")
    (gate,) = stage.gates()
    beat = stage.host.anchor_now.beat_at(gate["time_ns"])
    assert beat % 4 == pytest.approx(0, abs=1e-5) or beat % 4 == pytest.approx(4, abs=1e-5)
    assert 0.3 * SECOND_NS < gate["time_ns"] - stage.now_ns < 2.4 * SECOND_NS


def test_a_host_that_stands_keeps_the_music_going(tmp_path: Path) -> None:
    stage = Stage(tmp_path, 120.0)
    stage.host.change(stage.now_ns, is_playing=False, is_running=False)
    stage.follow()
    stage.run(3)
    assert stage.timelines() == []
    assert stage.gates() == []


def test_a_hand_over_is_continuous(tmp_path: Path) -> None:
    """From internal to a host and back: tempo and phase go on, beats only forward."""
    stage = Stage(tmp_path, 123.0)
    stage.host.change(stage.now_ns, beat=0.1)
    stage.follow()
    beats = []
    for _ in range(80):
        stage.run(0.1)
        beats.append(stage.session.timeline.beat_at(stage.position.dac_sample / HOP))
    stage.send("/mgrt/clock/source", "internal")
    for _ in range(80):
        stage.run(0.1)
        beats.append(stage.session.timeline.beat_at(stage.position.dac_sample / HOP))
    steps = [(later - earlier) / 0.1 for earlier, later in pairwise(beats)]
    assert all(1.8 < step < 2.2 for step in steps), "no jump, and no more than a bend"
    assert steps[-1] * 60 == pytest.approx(123.0, rel=1e-3)
    assert stage.session.state["clock/bpm"] == pytest.approx(123.0)


def test_a_host_that_vanishes_leaves_the_beats_running(tmp_path: Path) -> None:
    stage = Stage(tmp_path, 126.0).follow()
    stage.run(5)
    stage.host.is_known = False
    stage.forget()
    stage.run(10)
    assert stage.timelines() == []
    assert abs(stage.error_ms()) < MAX_ERROR_MS


def test_quality_is_told_in_events_and_status(tmp_path: Path) -> None:
    stage = Stage(tmp_path).follow()
    ann = stage.subscribe(stage.client(1))
    stage.run(2.5)
    told = [one for one in stage.take(ann) if one[0] == "/mgrt/clock"]
    assert told[0][1:3] == ("jack", True)
    assert 2 <= len(told) <= 4
    names = [one.name for one in BY_ADDRESS["/mgrt/status"].answer.arguments]
    status = dict(zip(names, stage.send("/mgrt/status")[0][1:], strict=True))
    assert (status["clock_source"], status["is_locked"]) == ("jack", True)
    assert abs(status["error_ms"]) < 20


def test_the_tempo_of_a_host_is_not_ours_to_set(tmp_path: Path) -> None:
    stage = Stage(tmp_path).follow()
    for address, args in (("tempo", (99.0,)), ("tap", ()), ("beat", (1.0,))):
        (reply,) = stage.send(f"/mgrt/clock/{address}", *args)
        assert reply[0] == "/fail"
        assert "choose" in reply[2]


@pytest.mark.parametrize("is_after", [True, False])
def test_what_a_host_did_before_it_was_chosen_starts_nothing(
    tmp_path: Path, is_after: bool
) -> None:
    """A host whose transport is heard of for the first time: begun just now, or long ago."""
    stage = Stage(tmp_path, 120.0)
    stage.host.change(stage.now_ns, is_playing=None)
    stage.follow()
    stage.run(2)
    stage.send("/mgrt/transport/stop")
    stage.apply_playout(sample=1000)
    stage.stand_at(stage.position.commit_sample)
    stage.run(1)
    stage.forget()
    from_ns = stage.now_ns if is_after else stage.now_ns - 60 * SECOND_NS
    stage.host.change(stage.now_ns, is_playing=True, playing_from_ns=from_ns)
    stage.run(1)
    assert [gate["is_open"] for gate in stage.gates()] == [True] * is_after


def test_peers_of_a_quantum_begin_on_its_line(tmp_path: Path) -> None:
    stage = Stage(tmp_path, 120.0)
    stage.host.change(stage.now_ns, beat=0.5, is_playing=False, quantum_beats=8)
    stage.follow()
    stage.run(2)
    stage.send("/mgrt/transport/stop")
    stage.apply_playout(sample=1000)
    stage.stand_at(stage.position.commit_sample)
    stage.forget()
    stage.host.change(stage.now_ns, is_playing=True, playing_from_ns=stage.now_ns)
    stage.run(0.1)
    (gate,) = stage.gates()
    assert stage.host.anchor_now.beat_at(gate["time_ns"]) == pytest.approx(8.0, abs=1e-5)


def test_a_stop_that_is_to_come_is_waited_for(tmp_path: Path) -> None:
    stage = Stage(tmp_path, 120.0).follow()
    stage.run(3)
    stage.forget()
    at_ns = stage.now_ns + SECOND_NS
    stage.host.change(stage.now_ns, is_playing=False, playing_from_ns=at_ns)
    stage.run(0.9)
    assert stage.gates() == []
    stage.run(0.2)
    assert [gate["is_open"] for gate in stage.gates()] == [False]
