"""The OSC clock: beats that jitter on the way, with and without a tempo; taps, jumps, silence."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from bridge.clock.host_sources import host_sources
from bridge.clock.midi import MidiFeed
from bridge.clock.osc import OscClock
from bridge.control.position import SECOND_NS
from tests.bridge.control.rig import HOP, Rig, bundle, osc

BEGIN_NS = 10**12


def play(
    clock: OscClock, bpm: float, beats: int, jitter_ms: float, *, says_tempo: bool, first: float = 0
) -> tuple[int, float]:
    """A program tells each beat, late or early by chance; its time and beat after the last one."""
    rolls = random.Random(4)
    for beat in range(beats):
        at_ns = BEGIN_NS + beat * 60 * SECOND_NS / bpm
        late_ns = rolls.uniform(-jitter_ms, jitter_ms) * 1e6
        clock.beat(first + beat, bpm if says_tempo else None, round(at_ns + late_ns))
    last_ns = round(BEGIN_NS + (beats - 1) * 60 * SECOND_NS / bpm)
    return last_ns, first + beats - 1


@pytest.mark.parametrize("bpm", [60.0, 93.7, 120.0, 200.0])
@pytest.mark.parametrize("says_tempo", [True, False])
def test_beats_that_jitter_are_smoothed(bpm: float, says_tempo: bool) -> None:
    clock = OscClock(120.0)
    now_ns, beat = play(clock, bpm, 64, 5.0, says_tempo=says_tempo)
    anchor = clock.anchor(now_ns)
    assert anchor is not None
    assert anchor.bpm == pytest.approx(bpm, rel=0 if says_tempo else 0.01)
    assert (anchor.beat_at(now_ns) - beat) * 60_000 / bpm == pytest.approx(0, abs=3.0)
    assert clock.quality(now_ns).is_locked
    assert 0.5 < clock.quality(now_ns).jitter_ms < 6


def test_a_jump_is_taken_at_once() -> None:
    clock = OscClock()
    now_ns, _ = play(clock, 120.0, 16, 1.0, says_tempo=True)
    clock.beat(100.0, 120.0, now_ns + SECOND_NS)
    anchor = clock.anchor(now_ns)
    assert anchor is not None
    assert anchor.beat_at(now_ns + SECOND_NS) == pytest.approx(100)


def test_silence_is_told_and_the_beats_go_on() -> None:
    clock = OscClock()
    now_ns, beat = play(clock, 120.0, 16, 0.0, says_tempo=True)
    later_ns = now_ns + 30 * SECOND_NS
    anchor = clock.anchor(later_ns)
    assert anchor is not None
    assert anchor.beat_at(later_ns) == pytest.approx(beat + 60)
    assert not clock.quality(later_ns).is_locked


def test_the_tempo_can_be_set_and_tapped() -> None:
    clock = OscClock()
    now_ns, beat = play(clock, 120.0, 8, 0.0, says_tempo=True)
    later_ns = now_ns + 700_000_000
    assert clock.tempo(90.0, later_ns) == 90.0
    anchor = clock.anchor(later_ns)
    assert anchor is not None
    assert anchor.bpm == 90.0
    assert anchor.beat_at(later_ns) == pytest.approx(beat + 1.4), "from then on, not from before"
    for tap in range(4):
        taps = clock.tap(later_ns + tap * SECOND_NS // 2)
    assert taps.bpm == 120.0


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path, sources=host_sources(MidiFeed())).start()
    assert rig.send("/mgrt/clock/source", "osc")[0][0] == "/done"
    return rig


def place_ms(rig: Rig, beat_at_now: float, bpm: float) -> float:
    """How far the session's place in the bar is behind."""
    _, place = rig.session.timeline.bar_position_at(rig.position.dac_sample / HOP)
    return ((beat_at_now - place + 2) % 4 - 2) * 60_000 / bpm


def test_a_program_leads_the_session_by_osc(rig: Rig) -> None:
    for step in range(400):
        beat = 0.7 + step * 0.02 * 100 / 60
        if step % 30 == 0:
            rig.send("/mgrt/clock/beat", float(beat), 100.0)
        rig.advance(0.02)
    assert place_ms(rig, 0.7 + 400 * 0.02 * 100 / 60, 100) == pytest.approx(0, abs=3.0)
    assert rig.session.state["clock/bpm"] == 100.0


def test_a_time_tag_says_when_the_beat_is(rig: Rig) -> None:
    for step in range(300):
        if step % 20 == 0:
            # Sent a quarter of a second ahead, as programs that are timed well do.
            message = osc("/mgrt/clock/beat", (step * 0.02 + 0.25) * 2, 120.0)
            rig.send_packet(bundle(rig.wall_seconds + 0.25, message))
        rig.advance(0.02)
    assert place_ms(rig, 300 * 0.02 * 2, 120) == pytest.approx(0, abs=3.0)


def test_a_tempo_at_the_bar_changes_at_the_bar(rig: Rig) -> None:
    """The host that is followed is given it then, and not as the request comes."""
    for step in range(100):
        if step % 25 == 0:
            rig.send("/mgrt/clock/beat", step * 0.02 * 2, 120.0)
        rig.advance(0.02)
    rig.forget()
    (done,) = rig.send("/mgrt/clock/tempo", 90.0, 0.0, 2)
    line_beat = done[2]
    place, at_line_ns = 0.0, 0
    for _ in range(1000):
        assert rig.session.timeline.segments[-1].bpm == 120.0
        rig.advance(0.01)
        if rig.session.state["clock/bpm"] == 90.0:
            at_line_ns = rig.now_ns
            place = rig.session.timeline.beat_at(rig.position.dac_sample / HOP)
            break
    assert place == pytest.approx(line_beat, abs=0.03)
    rig.advance(1.0)
    for _ in range(100):
        rig.advance(0.02)
    assert rig.session.timeline.segments[-1].bpm == 90.0
    beats = line_beat + (rig.now_ns - at_line_ns) / SECOND_NS * 90 / 60
    assert place_ms(rig, beats, 90) == pytest.approx(0, abs=15.0)


def test_of_tempi_for_the_same_bar_the_last_counts_and_another_source_drops_them(rig: Rig) -> None:
    rig.send("/mgrt/clock/beat", 0.0, 120.0)
    for bpm in (90.0, 91.0, 92.0):
        rig.send("/mgrt/clock/tempo", bpm, 0.0, "bar")
    rig.advance(1.0)
    rig.send("/mgrt/clock/tempo", 100.0, 0.0, 4)
    for _ in range(60):
        rig.advance(0.02)
    assert rig.session.state["clock/bpm"] == 92.0
    rig.send("/mgrt/clock/source", "internal")
    for _ in range(400):
        rig.advance(0.02)
    assert rig.session.state["clock/bpm"] == 92.0


def test_a_loop_of_a_program_is_no_reason_to_look_for_its_beats_again() -> None:
    clock = OscClock()
    rolls = random.Random(1)
    for step in range(200):
        at_ns = BEGIN_NS + round((step / 2 + rolls.uniform(-0.003, 0.003)) * SECOND_NS)
        clock.beat(float(step % 16), None, at_ns)
        if step > 8:
            assert clock.quality(at_ns).is_locked, step
    anchor = clock.anchor(at_ns)
    assert anchor is not None
    true_ns = BEGIN_NS + 199 * SECOND_NS // 2
    assert anchor.beat_at(true_ns) == pytest.approx(199 % 16, abs=0.01)
    assert anchor.bpm == pytest.approx(120, rel=0.005)


def test_a_loop_of_half_a_beat_more_is_a_jump() -> None:
    clock = OscClock()
    now_ns, _ = play(clock, 120.0, 16, 0.0, says_tempo=True)
    clock.beat(4.5, None, now_ns + SECOND_NS // 2)
    anchor = clock.anchor(now_ns)
    assert anchor is not None
    assert anchor.bpm == 120.0
    assert anchor.beat_at(now_ns + SECOND_NS // 2) == pytest.approx(4.5)


def test_a_ramp_is_the_internal_clocks(rig: Rig) -> None:
    (reply,) = rig.send("/mgrt/clock/tempo", 140.0, 16.0)
    assert reply[0] == "/fail"
    assert "internal" in reply[2]
    rig.send("/mgrt/clock/source", "internal")
    rig.send("/mgrt/clock/tempo", 100.0)
    rig.advance(1.0)
    frame = rig.position.commit_frame
    assert rig.send("/mgrt/clock/tempo", 140.0, 16.0)[0][0] == "/done"
    timeline = rig.session.timeline
    beats = timeline.beat_at(frame)
    end = timeline.frame_at(beats + 16)
    assert timeline.bpm_at(frame + 1) == pytest.approx(100, abs=1)
    assert timeline.bpm_at((frame + end) / 2) == pytest.approx(120, abs=1)
    assert timeline.bpm_at(end + 13) == 140.0


@pytest.mark.parametrize(
    ("name", "package"), [("jack", "JACK-Client"), ("link", "musicgen-rt[link]")]
)
def test_a_source_whose_package_is_missing_says_which(
    rig: Rig, name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setitem(__import__("sys").modules, "link", None)
    (reply,) = rig.send("/mgrt/clock/source", name)
    assert reply[0] == "/fail"
    assert package in reply[2]
    assert rig.session.state["clock/source"] == "osc"
