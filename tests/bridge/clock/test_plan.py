"""What was asked for a bar line to come is done there, whatever changes the beats before it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from musicgen_rt.contract.timeline import Timeline
from tests.bridge.clock.host import Stage
from tests.bridge.control.rig import Rig

BAR_FRAMES = 100


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """120 BPM: a bar line every 100 frames."""
    return Rig(tmp_path).start()


def told(rig: Rig) -> Timeline:
    """The timeline that the engine was told last: what is played."""
    sent = [one for one in rig.engine if one["type"] == "timeline"]
    return Timeline.from_json(sent[-1]["timeline"])


def signatures(timeline: Timeline, bars: int) -> list[int]:
    """The beats in each of the first bars, counted on the bar lines themselves."""
    beats = [timeline.beat_at(timeline.bar_line_at(bar)) for bar in range(bars + 1)]
    return [round(later - earlier) for earlier, later in pairwise(beats)]


@pytest.mark.parametrize("bpm", [60.0, 119.0, 121.3, 240.0])
def test_a_signature_to_come_outlives_a_tempo_before_it(rig: Rig, bpm: float) -> None:
    rig.send("/mgrt/clock/signature", 3, 4, 2)
    rig.send("/mgrt/clock/tempo", bpm)
    assert signatures(told(rig), 6) == [4, 4, 3, 3, 3, 3]
    assert told(rig).segments[-1].bpm == pytest.approx(bpm)
    line = told(rig).bar_line_at(2)
    assert told(rig).beats_per_bar_at(round(line)) == 3
    assert told(rig).beat_at(line) == pytest.approx(8, abs=1e-9), "on the bar line of its bar"


def test_a_ramp_goes_on_through_a_signature_and_a_reset(rig: Rig) -> None:
    rig.send("/mgrt/clock/tempo", 160.0, 16.0)
    before = told(rig)
    rig.send("/mgrt/clock/signature", 3)
    rig.send("/mgrt/transport/reset")
    after = told(rig)
    frames = range(0, 500, 7)
    assert [after.bpm_at(at) for at in frames] == [before.bpm_at(at) for at in frames]
    assert after.segments[-1].bpm == 160.0
    assert after.beats_per_bar_at(400) == 3


def test_a_signature_within_a_ramp_outlives_another_ramp(rig: Rig) -> None:
    rig.send("/mgrt/clock/signature", 5)
    rig.send("/mgrt/clock/tempo", 90.0, 12.0)
    assert signatures(told(rig), 4) == [4, 5, 5, 5]
    assert told(rig).segments[-1].bpm == 90.0
    steps = [told(rig).bpm_at(at) for at in range(0, 500, 5)]
    assert steps == sorted(steps, reverse=True)


def test_a_bar_1_to_come_outlives_a_tempo_before_it(rig: Rig) -> None:
    rig.advance(0.5)
    rig.forget()
    rig.send("/mgrt/transport/reset")
    (frame,) = [one["frame"] for one in rig.engine if one["type"] == "command"]
    rig.advance(0.1)
    rig.send("/mgrt/clock/tempo", 126.0)
    assert told(rig).bar_position_at(frame) == (1, 0.0)
    assert rig.session.clock.place_at(frame) == (1, 1)


@pytest.mark.parametrize("ppm", [-180.0, 180.0])
@pytest.mark.parametrize("first_beat", [0.0, 1.0, 2.0])
def test_a_signature_to_come_outlives_the_hosts_corrections(
    tmp_path: Path, ppm: float, first_beat: float
) -> None:
    stage = Stage(tmp_path, 120.0, ppm).follow()
    stage.host.change(stage.now_ns, beat=first_beat)
    stage.run(6)
    stage.forget()
    (done,) = stage.send("/mgrt/clock/signature", 3, 4, 4)
    at_beat = done[2]
    stage.run(3)
    assert stage.timelines(), "the host was followed meanwhile"
    timeline = stage.session.timeline
    assert timeline.beats_per_bar_at(round(timeline.frame_at(at_beat)) - 1) == 4
    assert timeline.beats_per_bar_at(round(timeline.frame_at(at_beat)) + 1) == 3
    stage.run(12)
    assert stage.session.timeline.segments[-1].beats_per_bar == 3
    assert max(map(abs, (stage.error_ms(1), stage.error_ms(3)))) < 3.0


def test_a_jump_of_the_host_leaves_a_signature_to_come(tmp_path: Path) -> None:
    stage = Stage(tmp_path, 120.0).follow()
    stage.run(5)
    stage.send("/mgrt/clock/signature", 3, 4, 8)
    stage.host.change(stage.now_ns, beat=2.6)
    stage.run(2)
    assert abs(stage.error_ms()) < 3.0
    assert stage.session.timeline.segments[-1].beats_per_bar == 3
    stage.run(20)
    assert abs(stage.error_ms(3)) < 3.0
