"""MIDI clock from the system's MIDI inputs to anchors: one input is followed, all others not."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from bridge.clock.host_sources import host_sources
from bridge.clock.midi import MidiFeed, MidiSource
from bridge.control.position import Position
from bridge.midi_controllers import Controllers
from bridge.midi_in import MidiIn
from bridge.settings import MidiConfig
from tests.bridge.clock.midi_sender import SECOND_NS
from tests.bridge.control.rig import HOP, RATE_HZ, Rig
from tests.bridge.midi_rig import Plugs, Sink, play

BEGIN_NS = 10**12


def feed_ticks(feed: MidiFeed, port: str, bpm: float, first_ns: float, seconds: float) -> None:
    period_ns = 60 * SECOND_NS / bpm / 24
    for tick in range(round(seconds * SECOND_NS / period_ns)):
        feed.put(port, (0xF8,), round(first_ns + tick * period_ns))


def test_clock_bytes_reach_the_feed_with_their_time_and_no_note_is_made() -> None:
    async def test() -> None:
        plugs, sink, feed = Plugs("Box"), Sink(), MidiFeed()
        config = MidiConfig(rescan_seconds=0.2)
        midi = MidiIn(
            config, sink, Controllers.configured(()), make_backend=lambda: plugs, feed=feed
        )
        midi.start()
        deadline = time.monotonic() + 60
        while not plugs.is_open("Box"):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        before_ns = time.monotonic_ns()
        for data in ((0xFA,), (0xF8,), (0xF2, 4, 0), (0xFB,), (0xFC,)):
            plugs.play("Box", *data)
        taken = feed.take()
        assert [data for _, data, _ in taken] == [(0xFA,), (0xF8,), (0xF2, 4, 0), (0xFB,), (0xFC,)]
        assert all(before_ns <= at_ns <= time.monotonic_ns() for _, _, at_ns in taken)
        assert sink.commands == []
        midi.stop()

    play(test)


def test_a_second_clock_is_not_mixed_in() -> None:
    feed = MidiFeed()
    source = MidiSource(feed)
    feed.put("a", (0xF8,), BEGIN_NS)
    feed_ticks(feed, "a", 120.0, BEGIN_NS, 4)
    feed_ticks(feed, "b", 97.0, BEGIN_NS + 10**6, 4)
    anchor = source.anchor(BEGIN_NS + 4 * SECOND_NS)
    assert anchor is not None
    assert anchor.bpm == pytest.approx(120, rel=0.02)


def test_another_input_is_followed_when_the_first_has_fallen_silent() -> None:
    feed = MidiFeed()
    source = MidiSource(feed)
    feed_ticks(feed, "a", 120.0, BEGIN_NS, 4)
    assert source.anchor(BEGIN_NS + 4 * SECOND_NS) is not None
    feed_ticks(feed, "b", 97.0, BEGIN_NS + 8 * SECOND_NS, 4)
    anchor = source.anchor(BEGIN_NS + 12 * SECOND_NS)
    assert anchor is not None
    assert anchor.bpm == pytest.approx(97, rel=0.01)
    assert source.quality(BEGIN_NS + 12 * SECOND_NS).is_locked


def test_a_start_before_the_first_clock_of_an_input_is_heard() -> None:
    """Some sequencers send their clock only while they play: position and start come first."""
    feed = MidiFeed()
    source = MidiSource(feed)
    feed.put("pedals", (0xFA,), BEGIN_NS - 10**9)
    feed.put("a", (0xF2, 16, 0), BEGIN_NS - 2 * 10**6)
    feed.put("a", (0xFB,), BEGIN_NS - 10**6)
    feed_ticks(feed, "a", 120.0, BEGIN_NS, 4)
    anchor = source.anchor(BEGIN_NS + 4 * SECOND_NS)
    assert anchor is not None
    assert anchor.is_playing is True
    assert anchor.beat_at(BEGIN_NS) == pytest.approx(4.0, abs=0.01)


def test_what_an_input_said_long_before_its_clock_is_not_heard() -> None:
    feed = MidiFeed()
    source = MidiSource(feed)
    for minute in range(50):
        feed.put("a", (0xFA,), BEGIN_NS - (60 - minute) * 60 * SECOND_NS)
    feed_ticks(feed, "a", 120.0, BEGIN_NS, 4)
    anchor = source.anchor(BEGIN_NS + 4 * SECOND_NS)
    assert anchor is not None
    assert anchor.is_playing is None


@pytest.mark.parametrize("always_ticks", [True, False])
def test_the_music_begins_at_the_place_of_a_sequencer_that_starts(
    tmp_path: Path, always_ticks: bool
) -> None:
    """Whether its clock runs while it stands or not; the start comes between two of our looks."""
    feed = MidiFeed()
    rig = Rig(tmp_path, sources=host_sources(feed)).start()
    rig.send("/mgrt/clock/source", "midi")
    rig.send("/mgrt/transport/stop")
    rig.apply_playout(sample=5000)
    rig.position = Position(commit_sample=5000, reader_sample=5000)
    tick_ns = 60 * SECOND_NS / 120 / 24
    begin_ns = rig.now_ns + 3 * SECOND_NS
    next_ns = begin_ns + 15e6
    if always_ticks:
        feed_ticks(feed, "Box", 120.0, next_ns - 144 * tick_ns, 3)
    for _ in range(300):
        rig.advance(0.01)
    rig.forget()
    feed.put("Box", (0xF2, 10, 0), begin_ns)
    feed.put("Box", (0xFB,), begin_ns)
    for _ in range(200):
        rig.advance(0.005)
        if rig.playout:
            break
        while next_ns <= rig.now_ns:
            feed.put("Box", (0xF8,), round(next_ns))
            next_ns += tick_ns
    (gate,) = [one for one in rig.playout if one["type"] == "gate"]
    frame_ns = gate["time_ns"] + -5000 % HOP * SECOND_NS / RATE_HZ
    beat = 2.5 + (frame_ns - begin_ns - 15e6) / (24 * tick_ns)
    _, place = rig.session.timeline.bar_position_at(-(-5000 // HOP))
    assert (place - beat + 2) % 4 - 2 == pytest.approx(0, abs=0.005)


def test_the_feed_is_bounded() -> None:
    feed = MidiFeed()
    feed_ticks(feed, "a", 999.0, BEGIN_NS, 60)
    assert len(feed.take()) <= 4096
    assert feed.take() == []
