"""What `when` means: the sample of a line where samples are at hand, else a line within reach."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.control.position import SECOND_NS, Position
from tests.bridge.control.rig import HOP, RATE_HZ, Rig, bundle, osc

BAR_SAMPLES = 240 / 93.7 * RATE_HZ


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path, bpm=93.7, prompts=(("deep house", 1.0),)).start()


@pytest.mark.parametrize(
    ("address", "args"), [("transport/stop", ()), ("audio/mute", (1,)), ("audio/gain_db", (-6.0,))]
)
def test_what_is_done_to_samples_falls_on_the_lines_sample(
    rig: Rig, address: str, args: tuple[float, ...]
) -> None:
    rig.send(f"/mgrt/{address}", *args, "bar")
    assert rig.playout[-1]["sample"] == round(BAR_SAMPLES)
    assert round(BAR_SAMPLES) % HOP, "the line lies within a frame"
    rig.send(f"/mgrt/{address}", *args, "beat")
    assert rig.playout[-1]["sample"] == round(BAR_SAMPLES / 4)


@pytest.mark.parametrize(
    "when", ["0", "-1", "65", "NaN", "Infinity", "1e300", "2.5", '"later"', '""', "1" * 400, "true"]
)
def test_a_when_that_is_none_is_refused_with_what_is_expected(rig: Rig, when: str) -> None:
    rig.dispatcher.handle_json(f'["/mgrt/audio/mute", 1, {when}]'.encode(), rig.client())
    ((address, _, reason),) = rig.take()
    assert address == "/fail"
    assert "now, beat, bar or 1 to 64 bars" in reason or "not JSON" in reason
    assert len(reason) < 300
    assert rig.playout == []
    assert rig.dispatcher.counters["handler_errors_total"] == 0


def test_a_time_tag_is_kept_to_the_sample(rig: Rig) -> None:
    rig.send_packet(bundle(rig.wall_seconds + 0.333, osc("/mgrt/audio/mute", 1)))
    at_sample = rig.position.dac_sample + 0.333 * RATE_HZ
    assert rig.playout[-1]["sample"] == pytest.approx(at_sample, abs=2)


def test_the_engine_is_given_a_line_that_it_can_reach(rig: Rig) -> None:
    rig.move_to(round(BAR_SAMPLES - 0.12 * RATE_HZ))
    rig.send("/mgrt/audio/mute", 1, "bar")
    assert rig.playout[-1]["sample"] == round(BAR_SAMPLES)
    rig.send("/mgrt/prompt/set", 0, "techno", 1.0, "bar")
    assert rig.engine[-1]["frame"] == round(2 * BAR_SAMPLES / HOP)
    rig.send("/mgrt/prompt/set", 0, "jazz", 1.0)
    assert rig.engine[-1]["frame"] is None, "at once is still at once"


def test_play_at_a_time_tag_opens_the_gate_then(rig: Rig) -> None:
    rig.send("/mgrt/transport/stop")
    rig.apply_playout(sample=5000)
    rig.position = Position(commit_sample=5000, reader_sample=5000)
    rig.send_packet(bundle(rig.wall_seconds + 0.25, osc("/mgrt/transport/play")))
    gate = rig.playout[-1]
    assert gate["is_open"]
    assert gate["time_ns"] - rig.now_ns == pytest.approx(0.25 * SECOND_NS, abs=10**6)


def test_the_engine_is_told_the_beat_of_a_line_and_of_nothing_else(rig: Rig) -> None:
    """A line moves when the tempo changes; a moment does not."""
    for when in ("now", "beat", "bar", 8):
        rig.send("/mgrt/attr/set", "drums", "off", when)
    rig.send("/mgrt/bank/save", 1)
    rig.send_packet(bundle(rig.wall_seconds + 0.3, osc("/mgrt/attr/set", "drums", "on")))
    rig.send_packet(bundle(rig.wall_seconds + 0.3, osc("/mgrt/attr/set", "drums", "on", "bar")))
    assert [one["beat"] for one in rig.engine[-7:]] == [None, 1.0, 4.0, 32.0, None, None, 4.0]
    rig.send("/mgrt/gen/undo", 1)
    rig.send("/mgrt/gen/undo", 1, 2)
    assert [one["beat"] for one in rig.engine[-2:]] == [None, 8.0]
    rig.send("/mgrt/transport/reset", "bar")
    assert rig.engine[-1]["beat"] is None, "the bar line of a reset stays where it was set"
