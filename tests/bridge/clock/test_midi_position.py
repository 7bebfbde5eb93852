"""MIDI clock by the specification, against a sequencer in virtual time.

Jitter, drop-outs, tempo steps, jumps and loops are in `tests/faults/test_f31_f35_midi_clock.py`.
"""

from __future__ import annotations

import random

import pytest

from bridge.clock.midi_position import MidiPosition
from tests.bridge.clock.midi_sender import SECOND_NS, MidiSender


def test_a_ramp_is_followed() -> None:
    sender = MidiSender(MidiPosition(), 100.0, 0.5)
    sender.start()
    sender.run(5.0)
    errors = []
    while sender.bpm < 140:
        sender.bpm += 2.5 * sender.period_ns / SECOND_NS
        sender.tick()
        errors.append(abs(sender.error_ms()))
    assert max(errors) < 6.0


def test_the_first_clock_after_a_start_is_position_0() -> None:
    sender = MidiSender(MidiPosition())
    sender.run(1.0)
    anchor = sender.target.anchor(round(sender.now_ns))
    assert anchor is not None
    assert anchor.is_playing is None, "this sender has not spoken of its transport"
    sender.start()
    sender.run(1.0)
    assert abs(sender.error_ms()) < 0.1


def test_a_song_position_is_ignored_while_the_song_runs() -> None:
    sender = MidiSender(MidiPosition())
    sender.start()
    sender.run(2.0)
    sender.send(0xF2, 0, 1)
    sender.run(1.0)
    assert abs(sender.error_ms()) < 0.1


def test_a_stop_and_a_continue_without_a_position_go_on_where_it_stopped() -> None:
    sender = MidiSender(MidiPosition(), 120.0)
    sender.start()
    sender.run(1.0)
    sender.send(0xFC)
    at = sender.beat
    sender.run(2.0)
    anchor = sender.target.anchor(round(sender.now_ns))
    assert anchor is not None
    assert anchor.is_playing is False
    sender.send(0xFB)
    # The specification: the song goes on at the clock that follows, with what comes next in it.
    sender.beat = at
    sender.run(1.0)
    assert abs(sender.error_ms()) < 0.1


@pytest.mark.parametrize("silence_seconds", [0.4, 3.123, 61.7])
@pytest.mark.parametrize("bpm", [120.0, 97.0])
def test_a_sequencer_that_sends_its_clock_only_while_it_plays(
    silence_seconds: float, bpm: float
) -> None:
    sender = MidiSender(MidiPosition(), 120.0, 1.0)
    sender.start()
    sender.run(6.0)
    sender.send(0xFC)
    sender.now_ns += silence_seconds * SECOND_NS
    sender.bpm = bpm
    sender.send(0xF2, 16, 0)
    sender.send(0xFB)
    sender.beat = 4.0
    sender.run(0.3)
    assert abs(sender.error_ms()) < 5.0
    sender.run(1.2)
    assert abs(sender.error_ms()) < 2.0
    assert sender.target.quality(round(sender.now_ns)).is_locked


def test_a_start_counts_from_its_first_clock_on() -> None:
    """Until then it is not known where the song is: nobody must begin with it."""
    sender = MidiSender(MidiPosition(), 120.0)
    sender.run(2.0)

    def is_playing() -> bool | None:
        anchor = sender.target.anchor(round(sender.now_ns))
        assert anchor is not None
        return anchor.is_playing

    sender.send(0xFA)
    assert is_playing() is None
    sender.beat = 0.0
    sender.tick()
    assert is_playing() is True
    assert abs(sender.error_ms()) < 0.1
    sender.send(0xFC)
    sender.now_ns += SECOND_NS
    assert is_playing() is False
    sender.send(0xFB)
    assert is_playing() is False
    sender.tick()
    assert is_playing() is True


def test_any_bytes_are_survived() -> None:
    rolls = random.Random(5)
    position = MidiPosition()
    now_ns = 0
    for _ in range(10_000):
        now_ns += rolls.choice((0, 1, 10**6, 10**8, 10**12))
        position.take(
            [rolls.choice((0xF8, rolls.randrange(256))), *rolls.choices(range(256), k=2)], now_ns
        )
        anchor = position.anchor(now_ns)
        assert anchor is None or 20 <= anchor.bpm <= 999
