"""MIDI clock out: each tick once, at its place, whatever the anchors do; read back by mido."""

from __future__ import annotations

from itertools import pairwise

import mido
import pytest

from bridge.clock.lead import lead_message
from bridge.clock.midi_lead import Lead, TickWriter
from bridge.clock.midi_position import MidiPosition
from bridge.control.position import Position
from musicgen_rt.contract.timeline import Timeline

RATE_HZ = 48000


def written(
    writer: TickWriter, first: int, blocks: int, frames: int = 256
) -> list[tuple[int, str]]:
    """Frame and name of each message, in JACK's blocks."""
    found = []
    for block in range(blocks):
        begin = first + block * frames
        for offset, status in writer.between(begin, frames):
            assert 0 <= offset < frames
            found.append((begin + offset, mido.Message.from_bytes([status]).type))
    return found


@pytest.mark.parametrize("bpm", [20.0, 93.7, 200.0, 999.0])
def test_ticks_lie_24_to_the_beat(bpm: float) -> None:
    writer = TickWriter()
    writer.lead(Lead(1000.0, 0.0, bpm, RATE_HZ, True, 4))
    ticks = [frame for frame, name in written(writer, 1000, 2000) if name == "clock"]
    expected = [1000 + n * 60 * RATE_HZ / bpm / 24 for n in range(len(ticks))]
    assert len(ticks) > 10
    assert all(abs(a - b) <= 0.51 for a, b in zip(ticks, expected, strict=True))


def test_the_start_comes_with_a_bar_line_and_the_stop_at_once() -> None:
    writer = TickWriter()
    writer.lead(Lead(0.0, 2.5, 120.0, RATE_HZ, True, 3))
    found = written(writer, 0, 400)
    (start,) = [frame for frame, name in found if name == "start"]
    assert start == RATE_HZ // 4, "half a beat on begins a bar of three"
    assert found[[name for _, name in found].index("start") + 1] == (start, "clock")
    writer.lead(Lead(0.0, 2.5, 120.0, RATE_HZ, False, 3))
    assert written(writer, 400 * 256, 10)[0] == (400 * 256, "stop")


def test_corrections_neither_repeat_nor_lose_a_tick() -> None:
    writer = TickWriter()
    ticks: list[int] = []
    for block in range(4000):
        begin = block * 256
        if block % 10 == 0:  # an anchor that is a millisecond early or late
            beat = begin / RATE_HZ * 2
            late = 48 if block % 20 else -48
            writer.lead(Lead(begin + late, beat, 120.0, RATE_HZ, True, 4))
        ticks += [frame for frame, name in written(writer, begin, 1) if name == "clock"]
    gaps = [later - earlier for earlier, later in pairwise(ticks)]
    assert 1000 - 97 <= min(gaps) <= max(gaps) <= 1000 + 97
    assert len(ticks) == pytest.approx(4000 * 256 / 1000, abs=2)


@pytest.mark.parametrize("jump_beats", [-2.5, 1.5, 2.0])
def test_where_our_bars_jump_who_follows_is_started_anew(jump_beats: float) -> None:
    writer, position = TickWriter(), MidiPosition()
    writer.lead(Lead(0.0, 3.9, 120.0, RATE_HZ, True, 4))
    found = written(writer, 0, 1000)
    last = 1000 * 256
    beat = 3.9 + last / RATE_HZ * 2 + jump_beats
    writer.lead(Lead(last, beat, 120.0, RATE_HZ, True, 4))
    found += written(writer, last, 1000)
    names = [name for frame, name in found if frame >= last]
    assert names.count("stop") == names.count("start") == 1
    assert names.index("stop") < names.index("start")
    for frame, name in found:
        status = {"clock": 0xF8, "start": 0xFA, "stop": 0xFC}[name]
        position.take([status], round(frame * 1e9 / RATE_HZ))
    now_ns = round(found[-1][0] * 1e9 / RATE_HZ)
    anchor = position.anchor(now_ns)
    assert anchor is not None
    ours = beat + (found[-1][0] - last) / RATE_HZ * 2
    assert (anchor.beat_at(now_ns) - ours + 2) % 4 - 2 == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("jump_beats", [-8.0, 4.0, 400.02])
def test_a_jump_by_whole_bars_is_not_heard(jump_beats: float) -> None:
    writer = TickWriter()
    writer.lead(Lead(0.0, 3.9, 120.0, RATE_HZ, True, 4))
    found = written(writer, 0, 1000)
    last = 1000 * 256
    writer.lead(Lead(last, 3.9 + last / RATE_HZ * 2 + jump_beats, 120.0, RATE_HZ, True, 4))
    found += written(writer, last, 1000)
    assert [name for _, name in found if name != "clock"] == ["start"]
    ticks = [frame for frame, name in found if name == "clock"]
    assert {later - earlier for earlier, later in pairwise(ticks)} <= set(range(480, 1002))


def test_a_signature_counts_bars_otherwise_and_nothing_jumps() -> None:
    writer = TickWriter()
    writer.lead(Lead(0.0, 19.0, 120.0, RATE_HZ, True, 4))
    found = written(writer, 0, 94)
    # Bar 5 begins: after 20 beats in bars of four, and after 15 in bars of three.
    writer.lead(Lead(24_000.0, 15.0, 120.0, RATE_HZ, True, 3))
    found += written(writer, 94 * 256, 500)
    assert [name for _, name in found if name != "clock"] == ["start"]
    ticks = [frame for frame, name in found if name == "clock"]
    assert {later - earlier for earlier, later in pairwise(ticks)} == {1000}


def test_what_is_sent_is_what_our_own_input_locks_to() -> None:
    writer, position = TickWriter(), MidiPosition()
    writer.lead(Lead(0.0, 3.9, 126.0, RATE_HZ, True, 4))
    last = 0
    for frame, name in written(writer, 0, 3000):
        status = {"clock": 0xF8, "start": 0xFA}[name]
        position.take([status], round(frame * 1e9 / RATE_HZ))
        last = frame
    now_ns = round(last * 1e9 / RATE_HZ)
    anchor = position.anchor(now_ns)
    assert anchor is not None
    assert anchor.bpm == pytest.approx(126, abs=0.01)
    ours = 3.9 + last / RATE_HZ * 126 / 60
    assert (anchor.beat_at(now_ns) - ours + 2) % 4 - 2 == pytest.approx(0, abs=0.001)


def test_the_message_says_the_place_that_is_heard() -> None:
    position = Position(reader_sample=64000, dac_sample=60000, dac_time_ns=10**9, is_moving=True)
    message = lead_message(Timeline.start(120.0, 3), position, 10**9)
    assert message["beat"] == pytest.approx(60000 / 32000 * 2)
    assert (message["beats_per_bar"], message["bpm"], message["is_playing"]) == (3, 120.0, True)
