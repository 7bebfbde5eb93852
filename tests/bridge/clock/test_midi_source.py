"""MIDI clock from the system's MIDI inputs to anchors: one input is followed, all others not."""

from __future__ import annotations

import asyncio
import time

import pytest

from bridge.clock.midi import MidiFeed, MidiSource
from bridge.midi_controllers import Controllers
from bridge.midi_in import MidiIn
from bridge.settings import MidiConfig
from tests.bridge.clock.midi_sender import SECOND_NS
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


def test_the_feed_is_bounded() -> None:
    feed = MidiFeed()
    feed_ticks(feed, "a", 999.0, BEGIN_NS, 60)
    assert len(feed.take()) <= 4096
    assert feed.take() == []
